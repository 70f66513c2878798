// What scrolls sideways can be scrolled by keys, too: code blocks and tables of the theme do not take the focus.
function takeFocus() {
  for (const each of document.querySelectorAll(".md-typeset pre > code, .md-typeset__scrollwrap")) {
    if (each.scrollWidth > each.clientWidth) {
      each.tabIndex = 0;
    } else {
      each.removeAttribute("tabindex");
    }
  }
}
addEventListener("load", takeFocus); // The theme has put tables into what scrolls by then.
addEventListener("resize", takeFocus);
