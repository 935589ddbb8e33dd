// Fetches data from the dashboard's own server. Whatever fails becomes an Error with a sentence for people.

const BASE = new URL("../api/", import.meta.url);

export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  return url;
}

async function sent(url, options) {
  try {
    return await fetch(url, { cache: "no-store", credentials: "omit", redirect: "error", ...options });
  } catch {
    throw new Error("The server does not answer: it may have been stopped.");
  }
}

async function understood(response) {
  let told = null;
  try {
    told = await response.json();
  } catch {
    // What is no JSON is no answer of ours.
  }
  if (!response.ok) throw new Error(told?.error?.message ?? `The server answered with status ${response.status}.`);
  return told;
}

export async function get(path, query) {
  return understood(await sent(address(path, query), {}));
}

export async function post(path, body) {
  const headers = { "content-type": "application/json", "x-llm-cache-dashboard": "1" };
  return understood(await sent(address(path), { method: "POST", headers, body: JSON.stringify(body) }));
}

// The pieces of a long text, as they come.
export async function* pieces(path) {
  const response = await sent(address(path), {});
  if (!response.ok) await understood(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
