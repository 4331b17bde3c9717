// A box that scrolls must be reachable by keyboard, too.
const reach = () => {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .output, .sidebar-scroll, .toc-scroll")) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
  }
};
reach();
addEventListener("resize", reach);
