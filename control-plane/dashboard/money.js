// Dollars, if known: the cost of a model without a known price is unknown, not $0.

import { dollars } from "./format.js";

export const NO_PRICE = "no price";
const SUBSCRIPTION = "subscription";

/** What one request cost. */
export function costOf(request) {
  if (request.subscription) return SUBSCRIPTION;
  if (!request.cost_usd?.priced) return NO_PRICE;
  return dollars((request.cost_usd.input ?? 0) + (request.cost_usd.output ?? 0));
}

/** What was saved in one request. */
export function savedOf(request) {
  if (request.subscription) return SUBSCRIPTION;
  return request.cost_usd?.priced ? dollars(request.savings_cache_adjusted_usd) : NO_PRICE;
}

/** A sum over requests. `sums` has the number of those without a price. */
export function sumOf(usd, sums) {
  if (typeof usd === "number") return dollars(usd);
  if (!sums?.requests) return dollars(0);
  return sums.subscription_requests > 0 && !sums.unpriced_requests ? SUBSCRIPTION : NO_PRICE;
}

/** A sum over everything; it is possible that no request has a price. */
export function total(usd, { requests = 0, unpriced = 0, subscription = 0 }) {
  return sumOf(requests > 0 && requests <= unpriced + subscription ? null : usd, { requests, unpriced_requests: unpriced, subscription_requests: subscription });
}

/** The requests that are missing in a sum; null if none are. */
export function without({ unpriced = 0, subscription = 0 }, count) {
  const parts = [unpriced > 0 ? `${count(unpriced)} without a known price` : "", subscription > 0 ? `${count(subscription)} paid by subscriptions` : ""].filter(Boolean);
  return parts.length ? `not included: ${parts.join(", ")}` : null;
}
