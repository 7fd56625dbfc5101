//! MeterMaid over the network: routines, and a server that is absent, hung, restarted, or knows another secret.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mta::callout::pipeline::Times;
use mta::callout::{Callouts, Drivers};
use mta::directory::Directory;
use mta::metermaid::server::Server;
use mta::metermaid::settings::{ClientSettings, Remote, Settings};
use mta::metermaid::wire::Secret;
use policy::ask::Routine;
use policy::site::{Site, Texts};
use policy::{Answer, Ask, Effect, Read};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const TABLES: &str = "metermaid.config.secret=s\nmetermaid.table.rate.quota=2\nmetermaid.table.rate.quota_time=3600\n\
    metermaid.table.rate.max_entries=1000\nmetermaid.table.texts.type=simple\nmetermaid.table.count.type=simple\n\
    metermaid.table.count.value_type=integer\nmetermaid.table.grey.type=greylisting";

async fn serve(listener: TcpListener) -> (Arc<Server>, JoinHandle<()>) {
    let keys: BTreeMap<String, String> = TABLES
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    let settings = Settings::parse(&keys).unwrap();
    let server = Server::new(settings.make_tables(), Secret::new("s"));
    let task = tokio::spawn(Arc::clone(&server).serve(listener));
    (server, task)
}

fn client(address: SocketAddr, secret: &str, wait: Duration, rest: Duration) -> ClientSettings {
    let remote = Remote {
        host: address.ip().to_string(),
        port: address.port(),
        secret: Secret::new(secret),
    };
    let times = Times {
        connect: wait,
        read: wait,
        rest,
    };
    ClientSettings {
        server: Some(remote),
        tables: BTreeMap::new(),
        connections: 3,
        times,
    }
}

struct Asker {
    callouts: Callouts,
    drivers: Arc<Drivers>,
    site: Site,
}

impl Asker {
    fn new(settings: &ClientSettings) -> Asker {
        let directory = Arc::new(ArcSwap::from_pointee(Directory::new().unwrap()));
        let drivers = Arc::new(Drivers::new(directory, "/nowhere".into()));
        drivers.set_metermaid(settings);
        let texts = Texts {
            imta: Some(("imta.cnf".into(), "\nl\nhost.test\n".into())),
            ..Texts::default()
        };
        let site = policy::site::load(&texts, &|_: &str| Err(String::new())).unwrap();
        Asker {
            callouts: Callouts::Live(Arc::clone(&drivers)),
            drivers,
            site,
        }
    }

    async fn ask(&self, routine: &str, argument: &str) -> Answer {
        let routine = Routine {
            image: "check_metermaid.so".into(),
            routine: routine.into(),
            argument: argument.into(),
            quoted: argument.into(),
        };
        let ask = match routine.is_read() {
            true => Ask::Read(Read::Routine(routine)),
            false => Ask::Effect(Effect::Routine(routine)),
        };
        self.callouts.perform(&[ask], &self.site).await.remove(0)
    }

    fn count(&self, name: &str) -> u64 {
        self.drivers.counters()["metermaid"][name].as_u64().unwrap()
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn routines_and_bad_keys() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asker = Asker::new(&client(listener.local_addr().unwrap(), "s", LONG, LONG));
    let (_, _task) = serve(listener).await;
    let yes = Answer::Found(String::new());
    let cases: Vec<(&str, String, Option<Answer>)> = vec![
        ("throttle", "rate,a".into(), Some(Answer::NotFound)),
        ("query", "rate,a".into(), Some(Answer::NotFound)),
        ("throttle", "rate,a".into(), Some(Answer::NotFound)),
        ("query", "rate,a".into(), Some(yes.clone())),
        ("throttle", "rate,a".into(), Some(yes.clone())),
        ("throttle", "rate,b".into(), Some(Answer::NotFound)),
        ("greylisting", "grey,1.2.3.4|a@b|c@d".into(), Some(yes.clone())),
        ("fetch", "texts,k".into(), Some(Answer::NotFound)),
        ("store", "texts,k,a, b\r\nQUIT %".into(), Some(yes.clone())),
        (
            "fetch",
            "texts,k".into(),
            Some(Answer::Found("a, b\r\nQUIT %".into())),
        ),
        ("remove", "texts,k".into(), Some(yes.clone())),
        ("remove", "texts,k".into(), Some(yes.clone())),
        ("fetch", "texts,k".into(), Some(Answer::NotFound)),
        ("adjust", "count,k,-3".into(), Some(yes.clone())),
        ("test", "count,k,<=-3".into(), Some(yes.clone())),
        ("adjust_and_test", "count,k,+4,>5".into(), Some(Answer::NotFound)),
        ("test", "count,k,=1".into(), Some(yes.clone())),
        // keys that would end a line, and octets of every kind, are only keys
        (
            "throttle",
            "rate,x\r\nQUIT\r\n\u{0}\u{1b}\u{fffd}".into(),
            Some(Answer::NotFound),
        ),
        ("throttle", format!("rate,{}", "k".repeat(256)), None),
        ("store", format!("texts,k,{}", "v".repeat(100_000)), None),
        ("throttle", "nowhere,a".into(), None),
        ("fetch", "rate,a".into(), None),
        ("adjust", "count,k,many".into(), None),
        ("drop", "count,k".into(), None),
        ("query", "rate,a".into(), Some(yes)),
    ];
    for (routine, argument, expected) in cases {
        let answer = asker.ask(routine, &argument).await;
        let failed = matches!(answer, Answer::Temporary(_) | Answer::NotConfigured(_));
        match expected {
            Some(expected) => assert_eq!(answer, expected, "{routine},{argument:.40}"),
            None => assert!(failed, "{routine},{argument:.40}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn many_sessions_share_a_few_connections_and_no_hit_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asker = Arc::new(Asker::new(&client(
        listener.local_addr().unwrap(),
        "s",
        LONG,
        LONG,
    )));
    let (server, _task) = serve(listener).await;
    let mut tasks = Vec::new();
    for _ in 0..2000 {
        let asker = Arc::clone(&asker);
        tasks.push(tokio::spawn(
            async move { asker.ask("adjust", "count,k,1").await },
        ));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Answer::Found(String::new()));
    }
    assert_eq!(
        asker.ask("test", "count,k,=2000").await,
        Answer::Found(String::new())
    );
    assert!(
        server
            .counters
            .connections
            .load(std::sync::atomic::Ordering::Relaxed)
            <= 3
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_the_server_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asker = Asker::new(&client(listener.local_addr().unwrap(), "wrong", LONG, LONG));
    let (server, _task) = serve(listener).await;
    let Answer::Temporary(why) = asker.ask("throttle", "rate,a").await else {
        panic!()
    };
    assert!(
        why.contains("does not take the secret") && !why.contains("wrong"),
        "{why}"
    );
    for _ in 0..10 {
        assert!(matches!(
            asker.ask("throttle", "rate,a").await,
            Answer::Temporary(_)
        ));
    }
    assert_eq!(asker.count("breaker_open"), 10);
    assert_eq!(
        server
            .counters
            .connections
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}

#[tokio::test]
async fn a_hung_server_fails_in_time() {
    // it listens and never greets
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asker = Asker::new(&client(
        listener.local_addr().unwrap(),
        "s",
        Duration::from_millis(20),
        LONG,
    ));
    assert!(matches!(
        asker.ask("throttle", "rate,a").await,
        Answer::Temporary(_)
    ));
    assert_eq!(asker.count("timed_out"), 1);
    assert!(matches!(
        asker.ask("throttle", "rate,a").await,
        Answer::Temporary(_)
    ));
    assert_eq!(asker.count("breaker_open"), 1);
}

#[tokio::test]
async fn a_server_that_hangs_in_mid_stream_fails_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asker = Asker::new(&client(
        listener.local_addr().unwrap(),
        "s",
        Duration::from_millis(100),
        LONG,
    ));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(format!("MM1 {}\r\n", "0".repeat(32)).as_bytes())
            .await
            .unwrap();
        let mut octets = [0; 512];
        let _ = stream.read(&mut octets).await;
        stream.write_all(b"+ ok\r\n").await.unwrap();
        while matches!(stream.read(&mut octets).await, Ok(1..)) {}
    });
    assert!(matches!(
        asker.ask("throttle", "rate,a").await,
        Answer::Temporary(_)
    ));
    assert_eq!(asker.count("timed_out"), 1);
    assert!(matches!(asker.ask("query", "rate,a").await, Answer::Temporary(_)));
    assert_eq!(asker.count("breaker_open"), 1);
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asker = Asker::new(&client(address, "s", LONG, Duration::ZERO));
    let (server, task) = serve(listener).await;
    let yes = Answer::Found(String::new());
    assert_eq!(asker.ask("store", "texts,k,v").await, yes);
    server.stop();
    task.await.unwrap();
    assert!(
        matches!(asker.ask("fetch", "texts,k").await, Answer::Temporary(_)),
        "nobody is there"
    );
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let (_, _task) = serve(socket.listen(16).unwrap()).await;
    // connections that died may each cost one failure
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(asker.ask("store", "texts,k,v").await);
    }
    assert_eq!(answers.last(), Some(&yes), "{answers:?}");
}

#[tokio::test]
async fn strangers_get_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_, _task) = serve(listener).await;
    let zeros = "0".repeat(64);
    let mut cases: HashMap<&str, Vec<u8>> = HashMap::new();
    cases.insert("no AUTH", b"FETCH texts k\r\n".to_vec());
    cases.insert("a wrong code", format!("AUTH {zeros}\r\n").into_bytes());
    cases.insert("no code", b"AUTH\r\n".to_vec());
    cases.insert("an endless line", vec![b'x'; 100_000]);
    cases.insert("binary", vec![0, 255, 13, 10]);
    for (name, octets) in cases {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&octets).await;
        let mut all = Vec::new();
        // the end of the connection may also show as a reset
        let _ = stream.read_to_end(&mut all).await;
        let text = String::from_utf8_lossy(&all).into_owned();
        assert!(!text.contains("+ "), "{name}: {text}");
    }
}
