// What is chosen, as the part of the address behind "#": a link opens the page as it was.

function writeLink(facts) {
  const text = Object.entries(facts).map(([key, x]) => `${encodeURIComponent(key)}=${encodeURIComponent(x)}`).join("&");
  try {
    history.replaceState(null, "", `#${text}`);
  } catch { /* in a notebook's frame there is no address */ }
}

function readLink() {
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
