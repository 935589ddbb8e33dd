// The key, version 1, written from docs/reference/key.md alone, in another language, to see that the page is complete.
// Reads one request a line, as tests/golden/keys.json describes them (or with `body_base64`), and writes its key, a tab
// and its document; `error` where the page says that it is one. No packages.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

// --- canonical JSON: objects are Maps, numbers are {number: text} ------------------------------------------------

class NotCanonical extends Error {}

const NUMBER = /(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

function parse(bytes, deepest = 200) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new NotCanonical("not UTF-8");
  }
  let at = 0;
  const fail = () => {
    throw new NotCanonical(`at ${at}`);
  };
  const skip = () => {
    while (" \t\n\r".includes(text[at] ?? "x")) at++;
  };
  const take = (what) => (text.startsWith(what, at) ? ((at += what.length), true) : false);
  const string = () => {
    let made = "";
    for (take('"') || fail(); !take('"'); ) {
      const unit = text[at++] ?? fail();
      if (unit < " ") fail();
      if (unit !== "\\") made += unit;
      else if (take("u")) {
        const digits = text.slice(at, at + 4);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) fail();
        made += String.fromCharCode(parseInt(digits, 16));
        at += 4;
      } else made += ESCAPES[text[at++]] ?? fail();
    }
    return made.isWellFormed() ? made : fail();
  };
  const value = (depth) => {
    if (depth > deepest && /[[{]/.test(text[at] ?? "")) fail();
    if (take("{")) {
      const members = new Map();
      for (skip(); !take("}"); skip()) {
        if (members.size) take(",") || fail();
        skip();
        const name = string();
        if (members.has(name)) fail();
        skip();
        take(":") || fail();
        skip();
        members.set(name, value(depth + 1));
      }
      return members;
    }
    if (take("[")) {
      const items = [];
      for (skip(); !take("]"); skip()) {
        if (items.length) take(",") || fail();
        skip();
        items.push(value(depth + 1));
      }
      return items;
    }
    if (text[at] === '"') return string();
    for (const [word, meant] of [["true", true], ["false", false], ["null", null]]) if (take(word)) return meant;
    NUMBER.lastIndex = at;
    const found = NUMBER.exec(text) ?? fail();
    at = NUMBER.lastIndex;
    return { number: number(...found.slice(1)) };
  };
  skip();
  const whole = value(1);
  skip();
  return at === text.length ? whole : fail();
}

function number(sign, whole, fraction = "", exponent = "0") {
  if (exponent.length > 12) throw new NotCanonical("exponent");
  const all = whole + fraction;
  const zeros = all.length - all.replace(/^0+/, "").length;
  const digits = all.slice(zeros).replace(/0+$/, "");
  const [d, p] = [digits.length, whole.length - zeros + Number(exponent)];
  if (d === 0) return "0";
  if (p >= d && p <= 40) return sign + digits + "0".repeat(p - d);
  if (p > 0 && p < d) return `${sign}${digits.slice(0, p)}.${digits.slice(p)}`;
  if (p > -4 && p <= 0) return `${sign}0.${"0".repeat(-p)}${digits}`;
  return `${sign}${digits[0]}${d > 1 ? "." : ""}${digits.slice(1)}e${p - 1}`;
}

const byCodePoint = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));

function write(value) {
  if (typeof value === "string") return '"' + value.replace(/["\\\u0000-\u001f]/g, escape) + '"';
  if (Array.isArray(value)) return "[" + value.map(write).join(",") + "]";
  if (value instanceof Map) {
    const names = [...value.keys()].sort(byCodePoint);
    return "{" + names.map((name) => write(name) + ":" + write(value.get(name))).join(",") + "}";
  }
  return value?.number ?? String(value);
}

function escape(character) {
  const at = '"\\\b\t\n\f\r'.indexOf(character);
  return at < 0 ? "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0") : "\\" + '"\\btnfr'[at];
}

// --- what of the body counts -------------------------------------------------------------------------------------

const LEFT_OUT = ["user", "safety_identifier", "user_profile_id", "metadata"].concat(
  ["prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"],
);

function counted(body, ending, ignored, leaving = true) {
  if (!(body instanceof Map)) return body;
  const left = new Map(body);
  for (const name of [...(ending === null || !leaving ? [] : LEFT_OUT), ...ignored]) if (name !== "stream") left.delete(name);
  if (left.get("stream") === false && !/^\/api\/(chat|generate)$/.test(ending ?? "")) left.delete("stream");
  return /^\/messages/.test(ending ?? "") ? unmarked(left) : left;
}

const without = (object, name) => new Map([...object].filter(([each]) => each !== name));
const items = (object, name, change) =>
  object instanceof Map && Array.isArray(object.get(name)) ? new Map(object).set(name, object.get(name).map(change)) : object;

function unmarked(body) {
  let made = without(body, "cache_control");
  for (const name of ["system", "tools"]) made = items(made, name, (each) => block(each, 0));
  return items(made, "messages", (message) => items(message, "content", (each) => block(each, 0)));
}

function block(value, level) {
  if (!(value instanceof Map)) return value;
  const made = without(value, "cache_control");
  const [kind, inner] = [made.get("type"), (each) => block(each, level + 1)];
  if (level === 8) return made;
  if (["tool_result", "mcp_tool_result", "search_result"].includes(kind)) return items(made, "content", inner);
  if (kind === "document" && made.get("source") instanceof Map)
    return made.set("source", items(made.get("source"), "content", inner));
  return made;
}

// --- forms -------------------------------------------------------------------------------------------------------

function partsOf(bytes, type) {
  const text = bytes.toString("latin1");
  const said = /^multipart\/form-data\s*;\s*boundary=(?:"([^"\\]{1,70})"|([^\s";,]{1,70}))$/i.exec(type.trim());
  const boundary = type ? (said?.[1] ?? said?.[2]) : /^--([^\r\n]{1,70})\r\n/.exec(text)?.[1];
  if (!boundary) return null;
  const pieces = `\r\n${text}`.split(`\r\n--${boundary}`);
  if (pieces.shift() !== "" || !["--", "--\r\n"].includes(pieces.pop()) || pieces.length > 1000) return null;
  return pieces.map((piece) => {
    const end = piece.indexOf("\r\n\r\n");
    if (end < 0 || end > 4096 || !piece.startsWith("\r\n")) return null;
    const found = new Map();
    for (const line of Buffer.from(piece.slice(2, Math.max(2, end)), "latin1").toString("utf8").split("\r\n")) {
      const name = line.split(":", 1)[0].toLowerCase();
      if (!line.includes(":") || found.has(name) || /[\r\n]/.test(line)) return null;
      if (name !== "content-length") found.set(name, line.slice(line.indexOf(":") + 1).replace(/^[ \t]+|[ \t]+$/g, ""));
    }
    const disposition = found.get("content-disposition") ?? "";
    const named = [...disposition.matchAll(/;\s*([^\s=;]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/g)];
    const fields = new Map(named.map(([, name, quoted, bare]) => [name.toLowerCase(), quoted ?? bare]));
    const others = [...found.keys()].filter((name) => !["content-disposition", "content-type"].includes(name));
    if (!/^form-data\s*;/i.test(disposition) || others.length || !fields.has("name")) return null;
    if (fields.size < named.length || [...fields.keys()].some((name) => !["name", "filename"].includes(name))) return null;
    const data = Buffer.from(piece.slice(end + 4), "latin1");
    return [fields.get("name"), fields.get("filename") ?? null, found.get("content-type") ?? null, data];
  });
}

function countedParts(parts, ignored) {
  const left = [...LEFT_OUT, ...ignored].filter((name) => name !== "stream");
  return parts
    .filter(([name, , , data]) => !left.includes(name) && !(name === "stream" && data.toString("latin1") === "false"))
    .sort(([one], [other]) => byCodePoint(one, other))
    .map(([name, filename, type, data]) => [name, filename, type, sha256(data)]);
}

// --- endpoint, upstream, query, headers --------------------------------------------------------------------------

const OPENAI = ["/chat/completions", "/responses", "/completions", "/images/generations", "/embeddings", "/moderations", "/audio/speech"]
  .concat(["/images/edits", "/images/variations", "/audio/transcriptions", "/audio/translations", "/responses/input_tokens"]);
const ENDINGS = [...OPENAI, "/messages", "/messages/count_tokens", "/complete"];
const LATER = ["/rerank", "/fim/completions", "/agents/completions", "/ocr", "/classifications", "/chat/classifications"]
  .concat(["/chat/moderations", "/conversations", "/multimodalembeddings", "/contextualizedembeddings"]);
const VERSION = String.raw`(/v[0-9]+((alpha|beta)[0-9]*)?)?(/projects/[^/]+/locations/[^/]+)?`;
const METHODS = "generateContent|streamGenerateContent|embedContent|batchEmbedContents|predict|countTokens|computeTokens";
const ALONE = [
  /\/v2\/rerank$/, /\/v[12]\/(chat|embed)$/, /\/v1\/(generate|classify|summarize|tokenize|detokenize)$/,
  /\/api\/(chat|generate|embed|embeddings)$/,
  /\/hf-inference\/models\/[^/]+(\/[^/]+)?(\/pipeline\/[^/]+)?$/,
  /\/model\/[^/]+\/(converse|converse-stream|invoke|invoke-with-response-stream)$/,
  new RegExp(VERSION + `(/publishers/[^/]+)?/(models|tunedModels)/[^/]+:(${METHODS})$`),
  new RegExp(VERSION + "/publishers/[^/]+/models/[^/]+:(rawPredict|streamRawPredict)$"),
];
const OWN = {
  "api.openai.com": "openai", "api.anthropic.com": "anthropic", "api.cohere.com": "cohere",
  "api.cohere.com/compatibility": "cohere", "generativelanguage.googleapis.com": "google",
  "generativelanguage.googleapis.com/v1beta/openai": "google", "aiplatform.googleapis.com": "vertex",
  "api.mistral.ai": "mistral", "api.groq.com/openai": "groq", "api.together.xyz": "together",
  "api.together.ai": "together", "api.deepseek.com": "deepseek", "api.x.ai": "xai", "openrouter.ai/api": "openrouter",
  "api.fireworks.ai/inference": "fireworks", "api.perplexity.ai": "perplexity", "api.cerebras.ai": "cerebras",
  "router.huggingface.co": "huggingface", "api.voyageai.com": "voyage", "api.z.ai/api/paas/v4": "zai",
};

function taken(url) {
  const [, scheme, authority, path, query] = /^([^:/?#]+):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?/.exec(url) ?? [];
  const [, host, port] = /^(?:.*@)?(\[[^\]]*\]|[^:]*)(?::([0-9]*))?$/.exec(authority ?? "") ?? [];
  if (!/^https?$/i.test(scheme ?? "") || !host) return null;
  const secure = scheme.toLowerCase() === "https";
  return { secure, host: host.toLowerCase(), port: Number(port || (secure ? 443 : 80)), path: encoded(path), query: query ?? "" };
}

function unquoted(text) {
  return Buffer.from(Buffer.from(text).toString("latin1").replace(/%([0-9a-fA-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1");
}

function encoded(path) {
  const one = (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9\-._~!$&'()*+,;=:@]/.test(character) ? character : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
  };
  return path.split("/").map((segment) => [...unquoted(segment)].map(one).join("")).join("/");
}

function endingOf(path) {
  if (/\/threads\/[^/]+\/messages$/.test(path)) return null;
  const found = [...ENDINGS, ...LATER].filter((ending) => path.endsWith(ending));
  found.push(...ALONE.map((pattern) => pattern.exec(path)?.[0]).filter((each) => each));
  return found.sort((one, other) => other.length - one.length)[0] ?? null;
}

function placed(url) {
  const parts = taken(url);
  const ending = parts && endingOf(parts.path);
  if (!ending) return null;
  const before = parts.path.slice(0, -ending.length);
  const azure = OPENAI.includes(ending) ? /^(.*?)(\/openai\/deployments\/[^/]+)$/.exec(before) : null;
  const prefix = azure ? azure[1] : before.replace(/(\/v1)*$/, "");
  const endpoint = (azure ? azure[2] : [...ENDINGS, ...LATER].includes(ending) ? "/v1" : "") + ending;
  const own = parts.secure && parts.port === 443 ? OWN[parts.host + prefix] : undefined;
  return { ending, endpoint, upstream: own ?? `${parts.host}:${parts.port}${prefix}`, query: counting(parts.query) };
}

const CREDENTIALS = ["access_token", "api-key", "api_key", "apikey", "key", "subscription-key", "token"];

function counting(query) {
  const decoded = (text) => {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(unquoted(text.replaceAll("+", " ")));
    } catch {
      return text;
    }
  };
  const lower = (name) => name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return query
    .split("&")
    .filter((part) => part)
    .map((part) => [part.split("=", 1)[0], part.includes("=") ? part.slice(part.indexOf("=") + 1) : ""].map(decoded))
    .filter(([name]) => !CREDENTIALS.includes(lower(name)))
    .sort(([one], [other]) => byCodePoint(one, other));
}

const HEADERS = ["anthropic-version", "anthropic-beta", "openai-beta", "openai-organization", "openai-project"];

function semantic(headers) {
  const found = new Map();
  for (const [sent, value] of headers) {
    const name = sent.toLowerCase();
    const parts = value.split(",").map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ""));
    if (HEADERS.includes(name)) found.set(name, [...(found.get(name) ?? []), ...parts]);
  }
  return new Map([...found].map(([name, parts]) => [name, parts.join(",")]));
}

// --- documents and keys ------------------------------------------------------------------------------------------

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

function documentOf(asked) {
  const policy = asked.get("policy") ?? new Map();
  const ignored = policy.get("ignore_fields") ?? [];
  const members = new Map([
    ["endpoint", ""], ["headers", new Map()], ["kind", "value"], ["query", []], ["upstream", ""], ["version", { number: "1" }],
    ["namespace", policy.get("namespace") ?? "default"], ["scope", policy.get("scope") ?? ""],
    ["sample", policy.get("sample") ?? { number: "0" }],
  ]);
  if (asked.get("kind") === "named") return members.set("body_sha256", sha256(asked.get("explicit")));
  if (asked.get("kind") === "value") {
    const [endpoint, data] = [asked.get("endpoint"), asked.get("request_data")];
    const path = taken(endpoint)?.path ?? "/" + encoded(endpoint.split("?")[0]).replace(/^\/+/, "");
    members.set("upstream", asked.get("provider")).set("endpoint", endpoint);
    const ending = endingOf(path.replace(/\/+$/, ""));
    const leaving = ENDINGS.includes(ending);
    const request = counted(parse(Buffer.from(write(data))), ending, ignored, leaving);
    return members.set("body", new Map([["model", asked.get("model")], ["request", request]]));
  }
  const place = placed(asked.get("url"));
  members.set("kind", "http").set("endpoint", place.endpoint).set("upstream", place.upstream);
  members.set("query", place.query).set("headers", semantic(asked.get("headers")));
  const body = asked.has("body") ? Buffer.from(asked.get("body")) : Buffer.from(asked.get("body_base64"), "base64");
  if (body.subarray(0, 2).toString("latin1") === "--") {
    const type = asked.get("headers").find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
    const parts = partsOf(body, type);
    if (!parts || parts.includes(null)) throw new NotCanonical("no form");
    return members.set("body_parts", countedParts(parts, ignored));
  }
  try {
    return members.set("body", counted(parse(body), place.ending, ignored));
  } catch (error) {
    if (!(error instanceof NotCanonical)) throw error;
    return members.set("body_sha256", sha256(body));
  }
}

for (const line of readFileSync(0, "utf8").split("\n").filter((each) => each)) {
  let written = "error";
  try {
    const document = write(documentOf(parse(Buffer.from(line), 1000)));
    written = `${sha256(document)}\t${document}`;
  } catch (error) {
    if (!(error instanceof NotCanonical)) throw error;
  }
  process.stdout.write(written + "\n");
}
