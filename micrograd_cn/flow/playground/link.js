// Keep what the reader has chosen in the address, behind "#". A link to the address opens the page as it was.

// Browsers refuse many changes of the address at once, so it changes after this many milliseconds without a change.
export const REST = 200;
const linkWaits = { timer: null, facts: null };

// Write what `facts` returns into the address, once nothing has changed for a while.
export function writeLink(facts) {
  clearTimeout(linkWaits.timer);
  linkWaits.facts = facts;
  linkWaits.timer = setTimeout(flushLink, REST);
}

// Write the address at once if it waits to be written.
export function flushLink() {
  clearTimeout(linkWaits.timer);
  const { facts } = linkWaits;
  linkWaits.facts = null;
  if (facts) inHistory("replaceState", history.state, addressOf(facts()));
}

const addressOf = facts =>
  `#${Object.entries(facts)
    .map(([key, x]) => `${encodeURIComponent(key)}=${encodeURIComponent(x)}`)
    .join("&")}`;

// Change the present entry of the browser's history, or add another one. In a notebook's frame there is no address.
export function inHistory(method, state, address) {
  try {
    history[method](state, "", address);
  } catch {
    /* not allowed here */
  }
}

/**
 * Return a number that a link says, or 0.
 * @param {Link} link
 * @param {string} name
 */
export const numberIn = (link, name) => (/^\d{1,5}$/.test(link.get(name) ?? "") ? Number(link.get(name)) : 0);

/** @returns {Link} */
export function readLink() {
  const pairs = location.hash
    .slice(1)
    .split("&")
    .filter(Boolean)
    .map(pair => {
      // A variable's key begins with "=". It is written as %3D, but some programs that pass a link on decode that.
      const end = pair.indexOf("=", 1);
      const [key, value] = end < 0 ? [pair, ""] : [pair.slice(0, end), pair.slice(end + 1)];
      try {
        return [decodeURIComponent(key), decodeURIComponent(value)];
      } catch {
        return ["", ""];
      }
    });
  return new Map(/** @type {[string, string][]} */ (pairs));
}
