/**
 * How long a DHCP client waits for what, how often it asks, and what it asks for.
 */
import { OPTION } from "../../wire/dhcp.ts";

/**
 * The first message waits for up to so long, so that hosts that start together don't ask together. RFC 2131 section 4.4.1
 * proposes 1 to 10 s; a second, as for router solicitations (RFC 4861 section 6.3.7), spreads them well enough.
 */
export const START_DELAY_MS = 1_000;
/** Backoff of RFC 2131 section 4.1: 4 s, doubled each time up to 64 s, and a second more or less. */
const FIRST_BACKOFF_MS = 4_000;
const LAST_BACKOFF_MS = 64_000;
export const BACKOFF_RANGE_MS = 1_000;
/** Requests of an offer: four make the 60 s of RFC 2131 section 3.1, step 5. */
export const REQUESTS = 4;
/** Requests to keep an earlier address, 12 s in all; then any address will do. */
export const REBOOT_REQUESTS = 2;
/** How long an offer of another address than the wanted one waits for a better one. */
export const OFFER_WINDOW_MS = 200;
/** Before it begins anew after a decline: RFC 2131 section 3.1, step 5. */
export const DECLINE_DELAY_MS = 10_000;
/** The shortest pause between requests to extend a lease: RFC 2131 section 4.4.5. */
export const MIN_EXTENSION_MS = 60_000;
/** Before it begins anew after a refusal, doubled with each in a row: a server that offers and refuses is no storm. */
const FIRST_RESTART_MS = 1_000;
const LAST_RESTART_MS = 64_000;

/** Options asked for; classless routes before routers, as RFC 3442 wants it. */
export const PARAMETERS: readonly number[] = [
  OPTION.SUBNET_MASK,
  OPTION.CLASSLESS_ROUTES,
  OPTION.ROUTERS,
  OPTION.NAME_SERVERS,
  OPTION.HOST_NAME,
  OPTION.DOMAIN_NAME,
  OPTION.MTU,
  OPTION.BROADCAST,
  OPTION.TIME_SERVERS,
  OPTION.VENDOR,
  OPTION.LEASE_SECONDS,
  OPTION.RENEW_SECONDS,
  OPTION.REBIND_SECONDS,
  OPTION.SEARCH_DOMAINS,
];

/** The pause after message number `attempt` (from 0), in the middle of its range. */
export const backoffMs = (attempt: number): number =>
  Math.min(FIRST_BACKOFF_MS * 2 ** attempt, LAST_BACKOFF_MS);

/** The pause after `refusals` refusals in a row; `random` is 0 to 1. */
export const restartMs = (refusals: number, random: number): number =>
  Math.min(FIRST_RESTART_MS * 2 ** refusals, LAST_RESTART_MS) * (HALF + random * HALF);

const HALF = 0.5;
