//! One model for many callers: loaded once, one at a time, unloaded, and honest about what it is doing. And a hub.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::get;
use headroom_text_model::{Options, Service, ServiceSettings, Source, Status, TurnError, hub};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn oracle() -> PathBuf {
    crate::folder().join("bert-base-multilingual-cased")
}

fn service(folder: PathBuf, idle: Duration) -> Arc<Service> {
    Service::new(ServiceSettings { source: Source::Folder(folder), threads: 1, idle })
}

async fn until(service: &Service, status: &Status) {
    let same = async {
        while service.status() != *status {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, same).await.unwrap();
}

#[tokio::test]
async fn it_is_loaded_for_the_first_text_and_unloaded_when_nobody_wants_it() {
    let service = service(oracle(), Duration::from_millis(300));
    let tending = tokio::spawn(Arc::clone(&service).tend());
    assert_eq!(service.status(), Status::Unloaded);
    let turn = service.turn(LONG).await.unwrap();
    assert_eq!(service.status(), Status::Loaded);
    let short = turn.model().compress("the text of a tool that has words", &Options::of_rate(0.5), &|| true);
    assert!(!short.unwrap().text.is_empty());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(service.status(), Status::Loaded, "a turn that lasts is use");
    drop(turn);
    until(&service, &Status::Unloaded).await;
    drop(service.turn(LONG).await.unwrap());
    assert_eq!(service.status(), Status::Loaded, "and loaded again");
    service.unload();
    assert_eq!(service.status(), Status::Unloaded);
    tending.abort();
}

#[tokio::test]
async fn one_has_it_at_a_time_and_of_those_who_wait_no_more_than_can_be_served() {
    let service = service(oracle(), LONG);
    let turn = service.turn(LONG).await.unwrap();
    assert!(matches!(service.turn(Duration::from_millis(20)).await, Err(TurnError::Late)));
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.turn(LONG).await.map(drop) })
        })
        .collect();
    // on a runtime of one thread each of them has begun to wait then
    tokio::task::yield_now().await;
    assert!(matches!(service.turn(LONG).await, Err(TurnError::Busy)));
    drop(turn);
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_says_why_and_is_not_tried_at_every_text() {
    let service = service(PathBuf::from("/nowhere"), LONG);
    for _ in 0..2 {
        let error = service.turn(LONG).await.unwrap_err().to_string();
        assert!(error.contains("/nowhere: expected a folder"), "{error}");
    }
    assert!(matches!(service.status(), Status::Failed(why) if why.contains("/nowhere")));
    service.unload();
    assert_eq!(service.status(), Status::Unloaded, "somebody wants it tried again");
}

/// A hub with a model whose weights are elsewhere.
async fn hub(asked: Arc<AtomicUsize>) -> String {
    let read = |file: &str| std::fs::read(oracle().join(file)).unwrap();
    let (config, tokenizer, weights) =
        (read("config.json"), read("tokenizer.json"), read("model.safetensors"));
    let count = move || {
        asked.fetch_add(1, Ordering::Relaxed);
    };
    let app = Router::new()
        .route(
            "/us/tiny/resolve/main/config.json",
            get(move || async move {
                count();
                config
            }),
        )
        .route("/us/tiny/resolve/main/tokenizer.json", get(move || async move { tokenizer }))
        .route("/us/tiny/resolve/main/model.safetensors", get(|| async { Redirect::temporary("/storage/1") }))
        .route("/storage/1", get(move || async move { weights }))
        .route("/us/circle/resolve/main/config.json", get(|| async { Redirect::temporary("config.json") }))
        .route(
            "/us/away/resolve/main/config.json",
            get(|| async { Redirect::temporary("http://10.0.0.1/x") }),
        )
        .route("/us/large/resolve/main/config.json", get(|| async { vec![b' '; 2 << 20] }))
        .fallback(|| async { StatusCode::NOT_FOUND.into_response() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn a_model_of_the_hub_is_downloaded_once() {
    let asked = Arc::default();
    let url = hub(Arc::clone(&asked)).await;
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let told = AtomicUsize::new(0);
        let progress = |_: &str, bytes: u64| told.store(usize::try_from(bytes).unwrap(), Ordering::Relaxed);
        let folder = hub::fetch(&url, "us/tiny", dir.path(), &progress).await.unwrap();
        assert_eq!(folder, dir.path().join("us--tiny"));
        drop(service(folder, LONG).turn(LONG).await.unwrap());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_hub_does_not_give_is_an_error_that_says_what_else_to_do() {
    let url = hub(Arc::default()).await;
    let dir = tempfile::tempdir().unwrap();
    for (base, name, said) in [
        (url.as_str(), "us/none", "answered 404"),
        (&url, "us/circle", "redirected more than"),
        (&url, "us/away", "expected https://"),
        (&url, "us/large", "more than 1048576 bytes"),
        ("http://127.0.0.1:1", "us/tiny", "cannot be reached"),
        ("ftp://127.0.0.1", "us/tiny", "expected https://"),
    ] {
        let error = hub::fetch(base, name, dir.path(), &|_, _| {}).await.unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("put its files"), "{error}");
        assert!(!dir.path().join(name.replace('/', "--")).join("config.json").exists());
    }
}
