// Talking to the gateway: every call ends in {ok, status, body, retryAfter}; no answer is status 0.
import { language } from "./i18n.js";

export async function call(method, path, body, headers = {}) {
  const request = { method, headers: { "accept-language": language(), ...headers }, cache: "no-store" };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers["content-type"] = "application/json";
  }
  try {
    const response = await fetch(path, request);
    const found = await response.json().catch(() => ({}));
    return {
      ok: response.ok,
      status: response.status,
      body: found,
      retryAfter: Number(response.headers.get("retry-after")) || null,
    };
  } catch {
    return { ok: false, status: 0, body: { code: "no_answer" }, retryAfter: null };
  }
}

/** 128 random bits in hex: an Idempotency-Key. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
