// The text of a tool output, side by side with the text that the model got.

import { el } from "./dom.js";

/** `text`: what was logged of the block. */
export function compare(text, block) {
  const tool = block.tool || "tool output";
  const side = (title, words, cut) => el("div", {},
    el("h4", {}, title),
    el("pre", { tabindex: 0, role: "region", "aria-label": `${tool}: ${title.toLowerCase()}` }, words, cut ? el("span", { class: "cut" }, "\n… the rest was not logged") : null));
  return el("details", { class: "text" },
    el("summary", {}, text.after ? "Before and after" : "What it says"),
    el("div", { class: text.after ? "sides" : "" },
      side(text.after ? "As the client sent it" : "As it was sent and forwarded", text.before, text.before_cut),
      text.after ? side("As it was forwarded", text.after, text.after_cut) : null));
}
