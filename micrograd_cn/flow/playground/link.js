// Keep what the reader has chosen in the address, behind "#". A link to the address opens the page as it was.

// Browsers refuse many changes of the address at once, so it changes after this many milliseconds without a change.
const REST = 200;
let resting = null;

// Write what `facts` returns into the address, once nothing has changed for a while.
export function writeLink(facts) {
  clearTimeout(resting);
  resting = setTimeout(() => {
    const text = Object.entries(facts()).map(([key, x]) => `${encodeURIComponent(key)}=${encodeURIComponent(x)}`).join("&");
    try {
      history.replaceState(null, "", `#${text}`);
    } catch { /* in a notebook's frame there is no address */ }
  }, REST);
}

export function readLink() {
  const pairs = location.hash.slice(1).split("&").filter(Boolean).map(pair => {
    const [key, ...rest] = pair.split("=");
    try {
      return [decodeURIComponent(key), decodeURIComponent(rest.join("="))];
    } catch {
      return ["", ""];
    }
  });
  return new Map(pairs);
}
