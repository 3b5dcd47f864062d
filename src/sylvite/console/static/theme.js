// The theme, before anything is painted: as the system says, unless the switch says otherwise.  No module: those come later.
"use strict";
(() => {
  const NAME = "sylvite-theme";
  const NEXT = { system: "light", light: "dark", dark: "system" };
  const read = () => {
    try { return NEXT[localStorage.getItem(NAME)] ? localStorage.getItem(NAME) : "system"; } catch { return "system"; }
  };
  const apply = (theme) => {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme);
  };
  apply(read());
  globalThis.sylviteTheme = {
    read,
    /** Go on to the next one, and return it. */
    turn() {
      const theme = NEXT[read()];
      try { localStorage.setItem(NAME, theme); } catch { /* A browser that keeps nothing shows it all the same. */ }
      apply(theme);
      dispatchEvent(new Event("sylvite-theme"));
      return theme;
    },
  };
})();
