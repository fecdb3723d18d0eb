//! Headroom's own requests, with retries where they may help. (Requests of clients pass through Envoy, which has its
//! own policy for them.)
//!
//! Three attempts. Before attempt n + 1 it waits min(base · 2ⁿ, longest), times a random factor from 0.5 to 1.5, so
//! that clients that failed together do not retry together. A caller's error stays an error: an answer of 4xx is
//! final, except 429. So is a timeout, because the caller no longer waits.

#[cfg(feature = "https")]
pub mod https;

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};

/// Attempts in all.
const ATTEMPTS: u32 = 3;

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    base: Duration,
    longest: Duration,
}

impl Retry {
    /// For what runs on this machine, or near it; a caller waits for the answer.
    pub const NEAR: Self = Self { base: Duration::from_millis(100), longest: Duration::from_secs(1) };
    /// For what is far away, and may be busy for a while.
    pub const FAR: Self = Self { base: Duration::from_secs(1), longest: Duration::from_secs(30) };

    /// Sends a request. One whose body cannot be sent twice is sent once.
    pub async fn send(self, mut request: RequestBuilder) -> reqwest::Result<Response> {
        let mut attempt = 0;
        loop {
            let again = if attempt + 1 < ATTEMPTS { request.try_clone() } else { None };
            let outcome = request.send().await;
            let Some(again) = again.filter(|_| may_help(&outcome)) else { return outcome };
            tokio::time::sleep(self.pause(attempt, random())).await;
            request = again;
            attempt += 1;
        }
    }

    /// Repeats an operation while a retry may help, and returns its last result.
    pub async fn run<T, F: Future<Output = T>>(
        self,
        mut attempt: impl FnMut() -> F,
        may_help: impl Fn(&T) -> bool,
    ) -> T {
        for n in 0..ATTEMPTS - 1 {
            let outcome = attempt().await;
            if !may_help(&outcome) {
                return outcome;
            }
            tokio::time::sleep(self.pause(n, random())).await;
        }
        attempt().await
    }

    /// The pause after attempt `n`, from 0, for a random number from 0 to 1.
    fn pause(self, n: u32, random: f64) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(n)).min(self.longest);
        doubled.mul_f64(0.5 + random.clamp(0.0, 1.0))
    }
}

/// Whether a retry may have another outcome.
fn may_help(outcome: &reqwest::Result<Response>) -> bool {
    match outcome {
        Ok(answer) => {
            let status = answer.status();
            status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
        }
        Err(error) => !error.is_timeout() && !error.is_builder() && !error.is_redirect(),
    }
}

/// From 0 to 1. Without a source of random numbers, always the middle.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

    use axum::Router;
    use axum::extract::State;

    use super::*;

    const FAST: Retry = Retry { base: Duration::from_millis(1), longest: Duration::from_millis(2) };

    #[derive(Default)]
    struct Server {
        status: AtomicU16,
        asked: AtomicU32,
        /// The first request that gets 200.
        well_from: AtomicU32,
    }

    async fn answer(State(server): State<Arc<Server>>, body: String) -> (StatusCode, String) {
        let asked = server.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let status = match asked >= server.well_from.load(Ordering::SeqCst) {
            true => StatusCode::OK,
            false => StatusCode::from_u16(server.status.load(Ordering::SeqCst)).unwrap(),
        };
        (status, body)
    }

    async fn server() -> (Arc<Server>, String) {
        let server = Arc::new(Server::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, url)
    }

    fn client() -> reqwest::Client {
        reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap()
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_three_times_and_what_cannot_once() {
        let (server, url) = server().await;
        for (status, expected) in [
            (200, 1),
            (301, 1),
            (400, 1),
            (401, 1),
            (404, 1),
            (408, 1),
            (409, 1),
            (429, 3),
            (500, 3),
            (503, 3),
        ] {
            server.status.store(status, Ordering::SeqCst);
            server.asked.store(0, Ordering::SeqCst);
            server.well_from.store(u32::MAX, Ordering::SeqCst);
            let answer = FAST.send(client().get(&url)).await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(server.asked.load(Ordering::SeqCst), expected, "{status}");
        }
    }

    #[tokio::test]
    async fn the_second_answer_counts_and_the_body_is_sent_again() {
        let (server, url) = server().await;
        server.status.store(503, Ordering::SeqCst);
        server.well_from.store(2, Ordering::SeqCst);
        let answer = FAST.send(client().post(&url).body("the body")).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "the body");
        assert_eq!(server.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_does_not_answer_is_asked_three_times_in_all() {
        // Its port is taken, and nobody listens.
        let nobody = tokio::net::TcpSocket::new_v4().unwrap();
        nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let url = format!("http://{}/", nobody.local_addr().unwrap());
        assert!(FAST.send(client().get(url)).await.unwrap_err().is_connect());
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            std::future::ready(attempts)
        };
        let last = FAST.run(attempt, |_| true).await;
        assert_eq!(last, 3);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_by_half() {
        for (n, least, most) in
            [(0, 500, 1_500), (1, 1_000, 3_000), (5, 15_000, 45_000), (90, 15_000, 45_000)]
        {
            assert_eq!(Retry::FAR.pause(n, 0.0), Duration::from_millis(least));
            assert_eq!(Retry::FAR.pause(n, 1.0), Duration::from_millis(most));
        }
        let drawn: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(drawn.iter().all(|number| (0.0..=1.0).contains(number)));
        assert!(drawn.iter().any(|number| *number < 0.5) && drawn.iter().any(|number| *number > 0.5));
    }
}
