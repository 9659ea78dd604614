// The theme leaves its search without a name for those who hear the page.
document.querySelector(".md-search[role='dialog']")?.setAttribute("aria-label", "Search");

// The theme puts tables of the text into boxes that scroll, which a keyboard has to reach. It does so after this script.
new MutationObserver(() => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "Table");
  }
}).observe(document.querySelector(".md-content") ?? document.body, { childList: true, subtree: true });
