// Renews the page in place: what is open stays open, and nothing scrolls away. When the server does
// not answer, the page says so, since what it shows is then old.
"use strict";

const SECONDS = Number(document.body.dataset.renewSeconds);
const ANSWER_SECONDS = 10;
const SELECTING_SECONDS = 30; // so long, whoever selects text is not disturbed
const RENEWED = ["headline", "moment", "content"];
const stale = document.getElementById("stale");
let renewedAt = new Date();
let failure = null;

function openDetails(root) {
  return new Map([...root.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
}

function scrolled(root) {
  return new Map([...root.querySelectorAll(".wide[id]")].map((one) => [one.id, one.scrollLeft]));
}

function focusedPlace() {
  const active = document.activeElement;
  if (active === null || active === document.body) {
    return null;
  }
  if (active.id) {
    return `#${CSS.escape(active.id)}`;
  }
  if (active.tagName === "SUMMARY") {
    return `#${CSS.escape(active.parentElement.id)} > summary`;
  }
  const address = active.getAttribute("href");
  return address === null ? null : `a[href="${CSS.escape(address)}"]`;
}

function isSelecting() {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed;
}

function swap(fresh) {
  const content = document.getElementById("content");
  const open = openDetails(content);
  const places = scrolled(content);
  const focused = focusedPlace();
  const height = window.scrollY;
  for (const id of RENEWED) {
    const old = document.getElementById(id);
    const next = fresh.getElementById(id);
    if (id === "headline" && old.textContent === next.textContent) {
      continue; // else it would be read out every time
    }
    old.className = next.className;
    old.replaceChildren(...next.childNodes);
  }
  document.title = fresh.title;
  for (const [id, isOpen] of open) {
    const one = document.getElementById(id);
    if (one !== null) {
      one.open = isOpen;
    }
  }
  for (const [id, left] of places) {
    const one = document.getElementById(id);
    if (one !== null) {
      one.scrollLeft = left;
    }
  }
  prepare();
  const again = focused === null ? null : document.querySelector(focused);
  if (again !== null && again !== document.activeElement) {
    again.focus({ preventScroll: true });
  }
  window.scrollTo(window.scrollX, height);
}

function showAge() {
  document.body.classList.toggle("is-stale", failure !== null);
  stale.hidden = failure === null;
  if (failure !== null) {
    const since = renewedAt.toISOString().slice(0, 19).replace("T", " ");
    const told = `Old: as it was ${since} UTC, since ${failure}.`;
    if (stale.textContent !== told) {
      stale.textContent = told; // it changes once, so that it is read out once
    }
  }
}

async function renew() {
  if (document.hidden) {
    return; // it renews itself as soon as it is seen again
  }
  if (isSelecting()) {
    if (Date.now() - renewedAt.getTime() > SELECTING_SECONDS * 1000) {
      failure = "text in it is selected";
      showAge();
    }
    return;
  }
  try {
    const answer = await fetch(location.href, {
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_SECONDS * 1000),
    });
    if (!answer.ok) {
      throw new Error(`the server answers with ${answer.status}`);
    }
    swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    renewedAt = new Date();
    failure = null;
  } catch (error) {
    const isAnswer = error instanceof Error && error.message.startsWith("the server");
    failure = isAnswer ? error.message : "the server does not answer";
  }
  showAge();
}

async function copy(button) {
  const code = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    document.getSelection().selectAllChildren(code); // where pages may not write the clipboard
    button.textContent = "Selected";
  }
}

function prepare() {
  document.getElementById("renewal").textContent = `renews itself every ${SECONDS} s`;
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button !== null) {
    copy(button);
  }
});
document.addEventListener("visibilitychange", renew);
prepare();

async function goOn() {
  await renew();
  setTimeout(goOn, SECONDS * 1000);
}
setTimeout(goOn, SECONDS * 1000);
