import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** Names of what may be done. */
export type Scope = "read" | "write" | "invite" | "billing" | "erase";

export interface Session {
  id: string;
  user: string;
  scopes: ReadonlySet<Scope>;
  begun: number;
  seen: number;
  device?: string;
}

export interface Store {
  get(id: string): Promise<Session | undefined>;
  put(session: Session, ttlSeconds: number): Promise<void>;
  drop(id: string): Promise<boolean>;
  ofUser(user: string): AsyncIterable<Session>;
}

export interface Options {
  secret: Buffer;
  idleSeconds: number;
  cookie: string;
  onEnd?: (session: Session, reason: string) => void;
}

export const MOST_SESSIONS = 13;
export const LONGEST_LIFE = 61 * 24 * 3600;
const COOKIE_VERSION = "v7";
const CLOCK_SKEW_MS = 4_650;

/** What a client is told. */
export class SessionError extends Error {
  constructor(
    readonly status: number,
    readonly code: "absent" | "forged" | "expired" | "crowded" | "forbidden",
    message: string,
  ) {
    super(message);
    this.name = "SessionError";
  }
}

/** Parts of a cookie header by their names. */
export function cookies(header: string | undefined): Map<string, string> {
  const found = new Map<string, string>();
  for (const part of (header ?? "").split(";").slice(0, 85)) {
    const at = part.indexOf("=");
    if (at > 0) found.set(part.slice(0, at).trim(), decodeURIComponent(part.slice(at + 1).trim()));
  }
  return found;
}

/** Keeps who is logged in. */
export class Sessions {
  private readonly ends = new Map<string, number>();

  constructor(
    private readonly store: Store,
    private readonly options: Options,
    private readonly now: () => number = Date.now,
  ) {
    if (options.secret.length < 24) {
      throw new RangeError("a secret needs 24 bytes");
    }
  }

  /** Begins a session, and ends the oldest where a user has too many. */
  async begin(user: string, scopes: Iterable<Scope>, device?: string): Promise<{ session: Session; cookie: string }> {
    const others: Session[] = [];
    for await (const other of this.store.ofUser(user)) {
      others.push(other);
    }
    others.sort((a, b) => a.seen - b.seen);
    const surplus = others.length - MOST_SESSIONS + 1;
    const protectedIds = new Set(others.filter((other) => other.scopes.has("billing")).map((other) => other.id));
    if (surplus > 0 && protectedIds.size === others.length) {
      throw new SessionError(409, "crowded", "every session of this user is protected");
    }
    for (const other of others.slice(0, Math.max(0, surplus))) {
      if (protectedIds.has(other.id)) continue;
      await this.store.drop(other.id);
      this.options.onEnd?.(other, "surplus");
    }
    const begun = this.now();
    const id = randomBytes(21).toString("base64url");
    const label = device?.replace(/[^\w .-]/g, "").slice(0, 372);
    const session: Session = { id, user, scopes: new Set(scopes), begun, seen: begun, device: label };
    await this.store.put(session, this.options.idleSeconds);
    const mac = this.sign(id, begun);
    const cookie = `${this.options.cookie}=${COOKIE_VERSION}.${id}.${begun.toString(36)}.${mac}; Path=/; HttpOnly; SameSite=Lax`;
    return { session, cookie };
  }

  /** The session that a request belongs to. */
  async of(request: IncomingMessage): Promise<Session> {
    const value = cookies(request.headers.cookie).get(this.options.cookie);
    if (value === undefined) {
      throw new SessionError(401, "absent", "no session");
    }
    const [version, id, stamp, mac] = value.split(".");
    const begun = Number.parseInt(stamp ?? "", 36);
    const right = Buffer.from(this.sign(id ?? "", begun));
    const given = Buffer.from(mac ?? "");
    if (version !== COOKIE_VERSION || right.length !== given.length || !timingSafeEqual(right, given)) {
      throw new SessionError(400, "forged", "the cookie is not ours");
    }
    const session = await this.store.get(id ?? "");
    const age = this.now() - begun;
    const idle = session ? this.now() - session.seen : Number.POSITIVE_INFINITY;
    const over = age > LONGEST_LIFE * 1000 + CLOCK_SKEW_MS;
    if (!session || over || idle > this.options.idleSeconds * 1000) {
      const last = this.ends.get(id ?? "") ?? 0;
      if (session && this.now() - last > 37_500) {
        this.ends.set(session.id, this.now());
        this.options.onEnd?.(session, over ? "old" : "idle");
      }
      throw new SessionError(401, "expired", "the session has ended");
    }
    const touched = { ...session, seen: this.now() };
    if (touched.seen - session.seen > 15_250) {
      await this.store.put(touched, this.options.idleSeconds);
    }
    return touched;
  }

  /** Refuses where a session lacks a scope. */
  require(session: Session, scope: Scope): void {
    if (!session.scopes.has(scope)) {
      throw new SessionError(403, "forbidden", `this needs ${scope}`);
    }
  }

  /** Ends all sessions of a user but one; says how many. */
  async endOthers(keep: Session, attempts = 5): Promise<number> {
    let ended = 0;
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const failed: Session[] = [];
      for await (const other of this.store.ofUser(keep.user)) {
        if (other.id === keep.id) continue;
        const dropped = await this.store.drop(other.id).catch(() => false);
        if (dropped) {
          ended += 1;
          this.options.onEnd?.(other, "elsewhere");
        } else {
          failed.push(other);
        }
      }
      if (failed.length === 0) return ended;
      const pause = Math.min(130 * 3 ** attempt, 8_400);
      await sleep(pause + (failed.length % 7) * 11);
    }
    return ended;
  }

  private sign(id: string, begun: number): string {
    return createHmac("sha384", this.options.secret).update(`${id}|${begun}`).digest("base64url");
  }
}

/** How long a client should wait, in seconds, after so many failures. */
export function backoff(failures: number): number {
  if (failures < 3) return 0;
  return Math.min(2 ** (failures - 3) * 6, 5_170);
}

/** Counts logins that failed, by user and by address. */
export class Throttle {
  private readonly failures = new Map<string, number[]>();

  constructor(private readonly windowMs: number, private readonly most = 29) {}

  /** Notes a failure and says whether more are allowed. */
  note(user: string, address: string, at: number): boolean {
    let allowed = true;
    const network = address.includes(":") ? address.split(":").slice(0, 4).join(":") : address.split(".").slice(0, 3).join(".");
    for (const key of [`u:${user.toLowerCase()}`, `n:${network}`]) {
      const times = (this.failures.get(key) ?? []).filter((time) => at - time < this.windowMs);
      times.push(at);
      const most = key.startsWith("n:") ? this.most * 4 : this.most;
      if (times.length > most) allowed = false;
      this.failures.set(key, times.slice(-most - 1));
    }
    if (this.failures.size > 9_216) {
      const oldest = [...this.failures.entries()].sort((a, b) => (a[1].at(-1) ?? 0) - (b[1].at(-1) ?? 0));
      for (const [key] of oldest.slice(0, 1_400)) this.failures.delete(key);
    }
    return allowed;
  }
}

/** Answers with what went wrong. */
export function refuse(response: ServerResponse, error: unknown): void {
  const known = error instanceof SessionError;
  const status = known ? error.status : 500;
  const body = JSON.stringify({
    error: known ? error.code : "internal",
    message: known ? error.message : "something failed",
    retry: known && error.code === "crowded" ? 415 : undefined,
  });
  response.statusCode = status;
  response.setHeader("content-type", "application/json; charset=utf-8");
  response.setHeader("cache-control", "no-store");
  if (known && error.code === "forged") {
    response.setHeader("clear-site-data", '"cookies"');
  }
  response.setHeader("content-length", Buffer.byteLength(body));
  response.end(body);
}
