// Each second the page is loaded again and only parts that differ are replaced: what is opened, selected or focused stays.
const parts = (root) => new Map([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
const held = (part) => part.contains(document.activeElement) || (!getSelection().isCollapsed && part.contains(getSelection().anchorNode));
const put = (old, fresh) => {
  const open = [...old.querySelectorAll("details[open]")].map((one) => one.id);
  for (const one of fresh.querySelectorAll("details")) one.open = open.includes(one.id);
  if (!held(old) && old.outerHTML !== fresh.outerHTML) old.replaceWith(fresh);
};
async function follow() {
  const began = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, then] = [parts(document), parts(next)];
    if ([...now.keys()].join("\n") === [...then.keys()].join("\n")) then.forEach((fresh, name) => put(now.get(name), fresh));
    else put(document.querySelector("main"), next.querySelector("main"));
    document.title = next.title;
    document.body.classList.remove("gone");
  } catch (problem) {
    document.body.classList.add("gone");
    document.getElementById("gone").textContent = "localcloud does not answer any more: this is its last answer.";
  }
  setTimeout(follow, Math.max(document.hidden ? 5000 : 1000, 10 * (performance.now() - began)));
}
setTimeout(follow, 1000);
