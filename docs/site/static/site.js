// A box that scrolls must be reachable by keyboard, too. Mathematics becomes as wide as it is after the page is there.
const reach = new ResizeObserver((entries) => {
  for (const { target: box } of entries) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll("pre, .table-wrapper, .output, .math-wrapper")) reach.observe(box);
