// What is chosen, as the part of the address behind "#": a link opens the page as it was.

const REST = 200; // milliseconds in which nothing changes, before the address does: browsers refuse many changes at once
let resting = null;

// Write what `facts` gives when nothing has changed for a while.
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
