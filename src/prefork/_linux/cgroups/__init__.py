"""The control groups of this process, as folders with the files of one controller."""
