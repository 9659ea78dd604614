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

// Opened from a disk, an address of a folder does not lead to its page.
if (location.protocol === "file:") {
  for (const link of document.querySelectorAll("a[href]")) {
    if (link.protocol === "file:" && link.pathname.endsWith("/")) link.pathname += "index.html";
  }
}
