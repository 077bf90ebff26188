"""What is measured on a page, by scripts that run in it."""

from __future__ import annotations

#: Every visible text, its contrast to its background, and the least contrast that WCAG 2.2 (1.4.3, AA) asks for. The
#: page has no image or gradient under text, so the background is the nearest opaque one.
CONTRAST = """
(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const under = (one) => { for (; one; one = one.parentElement) {
    const back = rgb(getComputedStyle(one).backgroundColor); if (back[3] === undefined || back[3] === 1) return back;
  } return [255, 255, 255]; };
  const found = [], words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const one = words.currentNode.parentElement, style = getComputedStyle(one), size = parseFloat(style.fontSize);
    if (!words.currentNode.data.trim() || !one.checkVisibility()) continue;
    if (one.closest("svg, style, .visually-hidden")) continue;
    const [a, b] = [light(rgb(style.color)), light(under(one))].sort((x, y) => y - x);
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    found.push([words.currentNode.data.trim().slice(0, 60), (a + .05) / (b + .05), large ? 3 : 4.5]);
  }
  return found;
})()
"""

#: Every shape of the chart and its legend, the bars and the icons: its class, and its contrast to the card (WCAG
#: 1.4.11: at least 3).
SHAPES = """
(() => {
  const light = (text) => text.match(/[\\d.]+/g).slice(0, 3)
    .map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const card = light(getComputedStyle(document.querySelector(".card")).backgroundColor);
  const shapes = "symbol [class]:not(.mark, .cross), .bar .within, .bar .over, .icon";
  return [...document.querySelectorAll(shapes)].map((one) => {
    const style = getComputedStyle(one), colour = light(style.fill === "none" ? style.stroke : style.fill);
    const [a, b] = [colour, card].sort((x, y) => y - x);
    return [one.getAttribute("class"), (a + .05) / (b + .05)];
  });
})()
"""

#: How much wider than its window the page is, and which elements stick out.
OVERFLOW = """
(() => {
  const wide = document.documentElement.clientWidth;
  const out = [...document.querySelectorAll("body *")]
    .filter((one) => !one.closest(".visually-hidden, .symbols") && one.getBoundingClientRect().right > wide + .5);
  return [document.documentElement.scrollWidth - wide, out.map((one) => one.outerHTML.slice(0, 80))];
})()
"""

#: Every element, in order, with its depth and the names of its attributes.
SKELETON = """
[...document.querySelectorAll("*")].map((one) => {
  let depth = 0; for (let up = one; up; up = up.parentElement) depth++;
  return [depth, one.localName, one.getAttributeNames().join(" ")].join(" ");
})
"""

OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
