// What scrolls sideways can be scrolled by keys, too: of the theme's code blocks and tables none takes the focus on a
// device without a mouse. The theme takes it from a code block whose size has changed, so each is looked at after that.
addEventListener("load", () => {
  const sizes = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      if (target.scrollWidth > target.clientWidth) {
        target.tabIndex = 0;
      } else {
        target.removeAttribute("tabindex");
      }
    }
  });
  for (const each of document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")) {
    sizes.observe(each);
  }
});
