//! Downloads models from a server on loopback that fails as servers and networks do.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use steadyscribe::Cancel;
use steadyscribe::models::{FetchError, FetchEvent, Hub, ModelFile, Store};
use tempfile::TempDir;

use crate::support::server::{Asked, Reply, Server, file, file_of_version};

const MODEL: &str = "hf:ada/speech/model.bin";

/// Names of the files below a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => names.extend(self::names(&entry.path())),
            false => names.push(entry.file_name().into_string().unwrap()),
        }
    }
    names.sort();
    names
}

/// A file of `bytes` bytes without repetitions.
fn content(bytes: usize) -> Arc<Vec<u8>> {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Arc::new(std::iter::repeat_with(next).take(bytes).collect())
}

fn hub(server: &Server) -> Hub {
    let mut hub = Hub::default();
    hub.endpoint.clone_from(&server.url);
    hub
}

/// A store in a folder of its own, with the events of its downloads.
struct Place {
    folder: TempDir,
    store: Store,
    events: Vec<FetchEvent>,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::new(folder.path().join("models"));
        Self {
            folder,
            store,
            events: Vec::new(),
        }
    }

    fn fetch(&mut self, hub: &Hub) -> Result<Vec<u8>, FetchError> {
        self.fetch_named(MODEL, hub)
    }

    fn fetch_named(&mut self, name: &str, hub: &Hub) -> Result<Vec<u8>, FetchError> {
        let model: ModelFile = name.parse().unwrap();
        let events = &mut self.events;
        let path = self
            .store
            .fetch(&model, hub, &Cancel::new(), &mut |event| events.push(event))?;
        assert_eq!(self.store.cached(&model), Some(path.clone()));
        Ok(read(&path))
    }

    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }

    fn retries(&self) -> usize {
        let is_retry = |event: &&FetchEvent| matches!(event, FetchEvent::Retrying { .. });
        self.events.iter().filter(is_retry).count()
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of known size")]
fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_model_comes_through_a_redirect_and_is_checked() {
    let content = content(300_000);
    let sent = content.clone();
    let store = Server::start(move |_, asked| file(asked, &sent));
    let (to, sent) = (store.url.clone(), content.clone());
    let server =
        Server::start(move |_, _| Reply::redirect(format!("{to}/blob?signature=x")).linked(&sent));
    let mut hub = hub(&server);
    hub.token = Some("hf_secret".into());
    let mut place = Place::new();
    assert_eq!(place.fetch(&hub).unwrap(), *content);
    assert_eq!(place.names(), ["model.bin"]);
    let (first, last) = (&server.asked()[0], &store.asked()[0]);
    assert_eq!(first.path, "/ada/speech/resolve/main/model.bin");
    assert_eq!(first.header("authorization"), Some("Bearer hf_secret"));
    assert!(
        first
            .header("user-agent")
            .unwrap()
            .starts_with("steadyscribe/")
    );
    assert_eq!(
        (last.path.as_str(), last.header("authorization")),
        ("/blob?signature=x", None)
    );
    let last = FetchEvent::Received {
        bytes: 300_000,
        total_bytes: 300_000,
    };
    assert_eq!(place.events.last(), Some(&last));
}

#[test]
fn a_model_in_the_store_needs_no_network() {
    let content = content(1_000);
    let sent = content.clone();
    let server = Server::start(move |_, asked| file(asked, &sent));
    let mut hub = hub(&server);
    let mut place = Place::new();
    hub.offline = true;
    let refused = place.fetch(&hub).unwrap_err();
    assert!(matches!(refused, FetchError::Offline { .. }), "{refused}");
    assert_eq!(server.asked().len(), 0);
    hub.offline = false;
    place.fetch(&hub).unwrap();
    hub.offline = true;
    assert_eq!(place.fetch(&hub).unwrap(), *content);
    hub.endpoint = "http://127.0.0.1:1".into();
    hub.offline = false;
    assert_eq!(place.fetch(&hub).unwrap(), *content);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let content = content(3 << 20);
    let sent = content.clone();
    let server = Server::start(move |before, asked| Reply {
        cut_at: (before == 0).then_some(2 << 20),
        ..file(asked, &sent)
    });
    let mut place = Place::new();
    assert_eq!(place.fetch(&hub(&server)).unwrap(), *content);
    let asked = server.asked();
    assert_eq!((asked.len(), place.retries()), (2, 1));
    assert_eq!(asked[0].from(), None);
    let from = asked[1].from().unwrap();
    assert!((1..=2 << 20).contains(&from), "{from}");
    assert_eq!(asked[1].header("if-range"), Some("\"v1\""));
    assert_eq!(place.names(), ["model.bin"]);
}

#[test]
fn a_later_call_goes_on_where_a_cancelled_one_ended() {
    let content = content(1 << 20);
    let sent = content.clone();
    let server = Server::start(move |_, asked| file(asked, &sent));
    let mut place = Place::new();
    let (cancel, model) = (Cancel::new(), MODEL.parse().unwrap());
    let stopped = place
        .store
        .fetch(&model, &hub(&server), &cancel, &mut |event| {
            if let FetchEvent::Received {
                bytes: 300_000.., ..
            } = event
            {
                cancel.cancel();
            }
        });
    assert!(matches!(stopped, Err(FetchError::Cancelled)), "{stopped:?}");
    assert_eq!(
        place.names(),
        ["model.bin.lock", "model.bin.part", "model.bin.part.etag"]
    );
    assert_eq!(place.fetch(&hub(&server)).unwrap(), *content);
    assert!(
        server.asked()[1].from() >= Some(300_000),
        "{:?}",
        server.asked()[1]
    );
    let FetchEvent::Asking { have_bytes, .. } = place.events[0] else {
        panic!("{:?}", place.events[0])
    };
    assert!(have_bytes >= 300_000);
    assert_eq!(place.names(), ["model.bin"]);
}

/// Fetches a file from a server that cuts its first answer off and makes the second with `second`.
/// Returns the file and the number of requests.
fn after_a_cut(
    second: impl Fn(&Asked, &[u8]) -> Reply + Send + Sync + 'static,
) -> (Vec<u8>, usize) {
    let sent = content(200_000);
    let server = Server::start(move |before, asked| match before {
        0 => Reply {
            cut_at: Some(100_000),
            ..file(asked, &sent)
        },
        1 => second(asked, &sent),
        _ => file(asked, &sent),
    });
    let mut place = Place::new();
    let fetched = place.fetch(&hub(&server)).unwrap();
    assert_eq!(place.names(), ["model.bin"]);
    (fetched, server.asked().len())
}

#[test]
fn a_server_that_cannot_continue_sends_the_whole_file_again() {
    let content = content(200_000);
    let ignores_range = |_: &Asked, sent: &[u8]| Reply {
        body: sent.to_vec(),
        ..Reply::status(200).linked(sent)
    };
    assert_eq!(after_a_cut(ignores_range), (content.to_vec(), 2));
    let nothing_there = |_: &Asked, _: &[u8]| Reply::status(416);
    assert_eq!(after_a_cut(nothing_there), (content.to_vec(), 3));
    let from_elsewhere = |_: &Asked, sent: &[u8]| Reply {
        body: sent[5..].to_vec(),
        ..Reply::status(206)
            .with("Content-Range", "bytes 5-199999/200000")
            .linked(sent)
    };
    assert_eq!(after_a_cut(from_elsewhere), (content.to_vec(), 3));
    let busy = |_: &Asked, _: &[u8]| Reply::status(503);
    assert_eq!(after_a_cut(busy), (content.to_vec(), 3));
}

#[test]
fn a_new_version_does_not_follow_half_of_the_old_one() {
    let (old, new) = (content(200_000), Arc::new(vec![9; 250_000]));
    let sent = new.clone();
    let server = Server::start(move |before, asked| match before {
        0 => Reply {
            cut_at: Some(100_000),
            ..file(asked, &old)
        },
        _ => file_of_version(asked, &sent, "\"v2\""),
    });
    let mut place = Place::new();
    assert_eq!(place.fetch(&hub(&server)).unwrap(), *new);
    assert_eq!(server.asked()[1].header("if-range"), Some("\"v1\""));
    assert_eq!(place.retries(), 1);
}

#[test]
fn a_file_with_another_digest_is_removed() {
    let content = content(100_000);
    let server = Server::start(move |_, asked| {
        let mut damaged = content.to_vec();
        damaged[50_000] ^= 1;
        Reply {
            body: damaged,
            ..file(asked, &content)
        }
    });
    let mut place = Place::new();
    let error = place.fetch(&hub(&server)).unwrap_err();
    let FetchError::WrongDigest {
        kind: "SHA-256",
        digest,
        must,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_ne!(digest, must);
    assert!(
        error.to_string().contains(digest) && error.to_string().contains("was removed"),
        "{error}"
    );
    assert_eq!(place.names(), ["model.bin.lock"]);
}

#[test]
fn a_published_model_is_what_its_project_says() {
    // The server is believed in nothing that is known beforehand.
    let small = Server::start(|_, asked| file(asked, b"something else"));
    let mut place = Place::new();
    let error = place.fetch_named("tiny-q5_1", &hub(&small)).unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::WrongSize {
                bytes: 14,
                must_bytes: 32_152_673,
                ..
            }
        ),
        "{error}"
    );
    let zeros = Server::start(|_, asked| file(asked, &vec![0; 32_152_673]));
    let error = place.fetch_named("tiny-q5_1", &hub(&zeros)).unwrap_err();
    assert!(
        matches!(error, FetchError::WrongDigest { kind: "SHA-1", .. }),
        "{error}"
    );
    assert_eq!(
        zeros.asked()[0].path,
        "/ggerganov/whisper.cpp/resolve/main/ggml-tiny-q5_1.bin"
    );
    assert_eq!(place.names(), ["ggml-tiny-q5_1.bin.lock"]);
}

#[test]
fn a_file_that_cannot_be_checked_is_refused() {
    let server = Server::start(|_, _| Reply {
        body: b"a web page".to_vec(),
        ..Reply::status(200)
    });
    let mut place = Place::new();
    let error = place.fetch(&hub(&server)).unwrap_err();
    assert!(matches!(error, FetchError::Unverifiable { .. }), "{error}");
}

#[test]
fn refusals_say_what_to_do() {
    for (status, says) in [
        (404, "check the name of the file"),
        (401, "HF_TOKEN"),
        (403, "HF_TOKEN"),
        (410, "answered 410"),
    ] {
        let server = Server::start(move |_, _| Reply::status(status));
        let error = Place::new().fetch(&hub(&server)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(server.asked().len(), 1, "{status}");
    }
    let circle = Server::start(|_, _| Reply::redirect("/again".into()));
    let error = Place::new().fetch(&hub(&circle)).unwrap_err().to_string();
    assert!(error.contains("there are too many"), "{error}");
    let nowhere = Server::start(|_, _| Reply::status(302));
    let error = Place::new().fetch(&hub(&nowhere)).unwrap_err().to_string();
    assert!(error.contains("leads nowhere"), "{error}");
    for endpoint in [
        "huggingface.co",
        "ftp://huggingface.co",
        "http://",
        "no address",
    ] {
        let mut hub = Hub::default();
        hub.endpoint = endpoint.into();
        let error = Place::new().fetch(&hub).unwrap_err();
        assert!(
            matches!(error, FetchError::Endpoint { .. }),
            "{endpoint}: {error}"
        );
    }
}

#[test]
fn a_server_that_does_not_encrypt_is_no_secure_one() {
    let server = Server::start(|_, asked| file(asked, b"model"));
    let mut hub = hub(&server);
    hub.endpoint = server.url.replace("http:", "https:");
    hub.stall = Duration::from_secs(5);
    let error = Place::new().fetch(&hub).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
}

#[test]
fn without_a_network_the_answer_is_quick() {
    let mut hub = Hub::default();
    // Nobody listens at this port.
    hub.endpoint = "http://127.0.0.1:1".into();
    let mut place = Place::new();
    let error = place.fetch(&hub).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert_eq!(place.retries(), 0);
}

#[test]
fn silence_ends_a_connection_and_slowness_does_not() {
    let stall = Duration::from_secs(2);
    let content = content(100_000);
    let sent = content.clone();
    let stalling = Server::start(move |before, asked| Reply {
        stall_at: (before == 0).then_some(50_000),
        ..file(asked, &sent)
    });
    let mut place = Place::new();
    let mut hub_stalling = hub(&stalling);
    hub_stalling.stall = stall;
    assert_eq!(place.fetch(&hub_stalling).unwrap(), *content);
    assert_eq!(stalling.asked()[1].from(), Some(50_000));

    // Longer than the silence, but in many pauses.
    let sent = content.clone();
    let slow = Server::start(move |_, asked| Reply {
        drip: Some((20, stall / 8)),
        ..file(asked, &sent)
    });
    let mut hub_slow = hub(&slow);
    hub_slow.stall = stall;
    let (mut place, began) = (Place::new(), Instant::now());
    assert_eq!(place.fetch(&hub_slow).unwrap(), *content);
    assert!(began.elapsed() > stall);
    assert_eq!((slow.asked().len(), place.retries()), (1, 0));
}

#[test]
fn a_connection_that_keeps_breaking_is_an_error_and_its_bytes_are_kept() {
    let sent = content(200_000);
    let server = Server::start(move |_, asked| Reply {
        cut_at: Some(1_000),
        ..file(asked, &sent)
    });
    let mut place = Place::new();
    // The waits between all attempts add up to a quarter of a minute; three of them show the rule.
    let (cancel, model) = (Cancel::new(), MODEL.parse().unwrap());
    let mut waits = Vec::new();
    let stopped = place
        .store
        .fetch(&model, &hub(&server), &cancel, &mut |event| {
            if let FetchEvent::Retrying { wait, .. } = event {
                waits.push(wait);
                if waits.len() == 3 {
                    cancel.cancel();
                }
            }
        });
    assert!(matches!(stopped, Err(FetchError::Cancelled)), "{stopped:?}");
    assert_eq!(waits, [500, 1_000, 2_000].map(Duration::from_millis));
    assert_eq!(server.asked().len(), 3);
    assert_eq!(server.asked()[2].from(), Some(2_000));
    place.events.clear();
    assert!(place.names().contains(&"model.bin.part".to_owned()));
}

#[test]
fn of_two_at_once_the_second_uses_the_firsts_result() {
    let content = content(400_000);
    let (sent, (go, gate)) = (content.clone(), mpsc::sync_channel::<()>(1));
    let gate = std::sync::Mutex::new(gate);
    let server = Server::start(move |_, asked| {
        // Until the second one waits.
        gate.lock().unwrap().recv().unwrap();
        file(asked, &sent)
    });
    let mut place = Place::new();
    let (store, first_hub) = (place.store.clone(), hub(&server));
    let waits = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let model = MODEL.parse().unwrap();
            store.fetch(&model, &first_hub, &Cancel::new(), &mut |_| ())
        });
        while server.asked().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let model = MODEL.parse().unwrap();
        let second = place
            .store
            .fetch(&model, &hub(&server), &Cancel::new(), &mut |event| {
                assert_eq!(event, FetchEvent::Waiting);
                waits.store(true, Ordering::Relaxed);
                go.send(()).unwrap();
            });
        assert_eq!(second.unwrap(), first.join().unwrap().unwrap());
    });
    assert!(waits.load(Ordering::Relaxed));
    assert_eq!(place.fetch(&hub(&server)).unwrap(), *content);
    assert_eq!(server.asked().len(), 1);
    assert_eq!(place.names(), ["model.bin"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_its_room_is_freed() {
    let sent = content(100_000);
    let server = Server::start(move |_, asked| file(asked, &sent));
    let mut place = Place::new();
    let folder = place.store.folder().join("ada/speech");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join("model.bin.part")).unwrap();
    let error = place.fetch(&hub(&server)).unwrap_err();
    let FetchError::DiskFull { needed_bytes, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(needed_bytes, 100_000);
    assert_eq!(place.names(), ["model.bin.lock"]);
}

#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_written_is_named() {
    let server = Server::start(|_, asked| file(asked, b"model"));
    let mut place = Place::new();
    fs::write(place.folder.path().join("models"), "a file").unwrap();
    let error = place.fetch(&hub(&server)).unwrap_err();
    assert!(
        matches!(&error, FetchError::Disk { path, .. } if path.ends_with("ada/speech")),
        "{error:?}"
    );
    assert_eq!(server.asked().len(), 0);
}
