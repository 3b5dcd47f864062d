// Questions that want an answer before something is done.

import { freshId, h, put } from "./dom.js";

/** Ask, and do it when it is confirmed; what goes wrong is said in the dialog.  Return what was done, or null. */
export function confirm({ title, body, action, isDangerous = false, run }) {
  return new Promise((resolve) => {
    const id = freshId("dialog");
    const wrong = h("p.bad", { role: "alert", hidden: true });
    let done = null;
    const yes = h(`button.${isDangerous ? "danger" : "primary"}`, { type: "submit" }, action);
    const dialog = h("dialog", { "aria-labelledby": id, onclose: () => { dialog.remove(); resolve(done); } },
      h("h2", { id }, title), body, wrong,
      h("form.actions", { onsubmit: async (event) => {
        event.preventDefault();
        yes.disabled = true;
        try {
          done = (await run()) ?? true;
          dialog.close();
        } catch (problem) {
          wrong.textContent = problem.message;
          wrong.hidden = false;
          yes.disabled = false;
        }
      } }, yes, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
    document.body.append(dialog);
    dialog.showModal();
  });
}

const told = h("div.toast", { role: "status" });
let timer = 0;

/** Say in passing that something was done. */
export function tell(text) {
  if (!told.isConnected) document.body.append(told);
  put(told, h("p", text));
  clearTimeout(timer);
  timer = setTimeout(() => put(told), 5000);
}
