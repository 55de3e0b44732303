"""The review page: all pseudo labels to look at, and decisions about them to download.

`pictures` writes the files of each image, `page` the page itself. The page works from file://,
where a script can load other scripts, but can read neither files nor the pixels of images.
Therefore labels and data are JavaScript files.
"""

from pathlib import Path

# All files of a page, except data.js and those of the images. The Snakefile reads their names.
PAGE_FILES = [str(path) for path in sorted(Path(__file__).with_name("page").iterdir())]
