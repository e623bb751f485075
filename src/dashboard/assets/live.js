// Keeps the page up to date: asks for the same page now and then, and puts in the parts that have changed.
// What somebody is typing in, pointing at with the keyboard or has selected is left alone until they are done.
"use strict";
(function () {
  const EVERY = 3000;
  const offline = document.getElementById("offline");

  function busy(part) {
    const selection = document.getSelection();
    const selecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
    return selecting || part.contains(document.activeElement);
  }

  function renew(page) {
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh && fresh.innerHTML !== part.innerHTML && !busy(part)) {
        part.replaceChildren(...fresh.childNodes);
      }
    }
  }

  async function look() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { "X-Live": "1" }, cache: "no-store" });
        if (!answer.ok) throw new Error(answer.statusText);
        renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
        offline.hidden = true;
      } catch {
        offline.hidden = false;
      }
    }
    setTimeout(look, EVERY);
  }

  if (document.querySelector("[data-live]")) setTimeout(look, EVERY);
})();
