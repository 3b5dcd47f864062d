// Keys of minions: who asks to be let in, and who is.

import { ask, can, get } from "./api.js";
import { confirm, tell } from "./dialog.js";
import { h, notice } from "./dom.js";
import { facts } from "./event.js";
import { ago, moment, plural } from "./format.js";
import { kept, table } from "./table.js";

const STATES = ["pending", "denied", "accepted", "rejected", "revoked"];
const ABOUT = { pending: "waiting to be let in", denied: "shown under the id of another", accepted: "let in", rejected: "turned away", revoked: "taken back" };
const ACTIONS = {
  pending: ["accept", "reject"], denied: ["accept", "delete"], accepted: ["revoke", "delete"], rejected: ["accept", "delete"], revoked: ["delete"],
};
const WORDS = {
  accept: ["Accept", "It may connect, and its events come onto the bus. Compare the fingerprint with the one on the minion first: sylvite keys finger --minion"],
  reject: ["Reject", "It is turned away whenever it comes."],
  revoke: ["Revoke", "Its sessions end at once, and it does not come in again with this key."],
  delete: ["Delete", "It is forgotten; a minion that shows it again waits to be let in."],
};
const DONE = { accept: "accepted", reject: "rejected", revoke: "revoked", delete: "deleted" };

/** A fingerprint that may be broken between its bytes, and nowhere else. */
const broken = (fingerprint) => fingerprint.split(":").flatMap((byte, at) => (at ? [":", h("wbr"), byte] : [byte]));

export function keys(root, parameters, { who, signal }) {
  const mayMove = can(who, "keys:write");
  const again = kept(root, { fetch_: () => get("v1/keys", signal), show, signal, every_ms: 2000, noMaster: "Keys are those of minions, and there are minions where there is a master: sylvite master." });

  function show({ items }) {
    if (!items.length) return notice("quiet", "No keys yet", "A minion that starts and finds this master shows its key here.");
    return STATES.map((state) => [state, items.filter((key) => key.state === state)]).filter(([, found]) => found.length).map(([state, found]) =>
      h(`section.keys.${state}`, h("h2", h(`span.badge.${state}`, state), h("span.hint", ` ${plural(found.length, "key")} ${ABOUT[state]}`)),
        table(`Keys: ${state}`, ["Minion", "Fingerprint", "Since", "From", ...(mayMove ? ["Do"] : [])], found.map((key) => [
          h("strong", key.id), h("code.fingerprint", broken(key.fingerprint)), h("span", { title: moment(key.since) }, ago(key.since)), key.address,
          ...(mayMove ? [h("div.actions", ACTIONS[state].map((action) => button(key, action)))] : []),
        ]))));
  }

  function button(key, action) {
    return h(`button${action === "accept" ? ".primary" : ""}`, {
      type: "button", "aria-label": `${WORDS[action][0]} ${key.id}`, "data-focus": `${action} ${key.id} ${key.fingerprint}`, onclick: () => move(key, action),
    }, WORDS[action][0]);
  }

  async function move(key, action) {
    const [word, what] = WORDS[action];
    const done = await confirm({
      title: `${word} the key of ${key.id}?`, action: `${word} ${key.fingerprint.slice(0, 11)}…`, isDangerous: action !== "accept",
      body: [facts([["Minion", key.id], ["From", key.address], ["First seen", moment(key.since)]]), h("p.fingerprint.large", broken(key.fingerprint)), h("p", what)],
      run: () => ask("POST", `v1/keys/${encodeURIComponent(key.id)}`, { body: { action, fingerprint: key.fingerprint } }),
    });
    if (done) tell(`The key of ${key.id} is ${DONE[action]}.`);
    again();
  }
}
