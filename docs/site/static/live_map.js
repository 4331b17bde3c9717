// Gives the map of lesson 07 what a kernel would give it: its data, and a place to keep what is selected.
(() => {
  const { data, sheets, colour } = window.mapOfTheCohort;
  const bytes = (sheet) => Uint8Array.from(atob(sheet), (letter) => letter.charCodeAt(0));
  const values = { _data: data, _sheets: sheets.map(bytes), colour, selected: [] };
  const listeners = {};
  const model = {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      for (const listener of listeners[`change:${name}`] ?? []) listener();
    },
    save_changes: () => {},
    on: (name, listener) => (listeners[name] ??= []).push(listener),
    off: (name, listener) => (listeners[name] = (listeners[name] ?? []).filter((each) => each !== listener)),
  };
  const place = document.getElementById("live-map");
  place.replaceChildren();
  window.pictureMap.render({ model, el: place });
})();
