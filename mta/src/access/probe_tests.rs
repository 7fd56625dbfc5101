//! Probes beyond the vectors: every field, optional ones, and data from outside.

use store::envelope::Notify;

use super::*;

fn session() -> SessionFacts {
    SessionFacts {
        server: Some(("192.0.2.1".parse().expect("IP"), 25)),
        client: Some(("203.0.113.9".parse().expect("IP"), 40312)),
        protocol: "SMTP".to_string(),
        helo: "mx|x.example".to_string(),
        submit_type: "MAIL".to_string(),
        channel: "tcp_auth".to_string(),
        auth_address: "e|ve@sesta.example".to_string(),
        ..SessionFacts::default()
    }
}

fn probe(point: &impl PolicyPoint, options: &[(&str, &str)]) -> String {
    let mut set = Options::default();
    options.iter().for_each(|(name, value)| set.set(name, value));
    let mut out = String::new();
    point.probe(&set, &mut out);
    out
}

#[test]
fn transport_and_application() {
    let all = session();
    assert_eq!(all.transport(), "TCP|192.0.2.1|25|203.0.113.9|40312");
    let ip = |text: &str| Some((text.parse().expect("IP"), 1));
    let six = SessionFacts {
        server: ip("2001:db8::1"),
        client: ip("::ffff:192.0.2.7"),
        ..SessionFacts::default()
    };
    assert_eq!(six.transport(), "TCP|2001:db8::1|1|192.0.2.7|1");
    assert_eq!(
        (SessionFacts::default().transport(), six.application()),
        Default::default()
    );
    let cases = [
        ("SMTP", None, "", "SMTP"),
        ("SMTP", None, "h", "SMTP/h"),
        ("SMTP", Some("TLS-256-X"), "", "SMTP/TLS-256-X"),
        ("LMTP", Some("TLS-256-X"), "h", "LMTP/TLS-256-X/h"),
        ("", Some("TLS-256-X"), "h", ""),
    ];
    for (protocol, tls, helo, expected) in cases {
        let facts = SessionFacts {
            protocol: protocol.to_string(),
            tls: tls.map(str::to_string),
            helo: helo.to_string(),
            ..SessionFacts::default()
        };
        assert_eq!(facts.application(), expected);
    }
}

#[test]
fn outside_data_adds_no_field_to_a_probe() {
    let session = &session();
    let recipient = &RecipientFacts {
        from: "a|b@x.example",
        channel: "l",
        to: "c|\r\nd@sesta.example",
        submitted: "c|d@sesta.example",
        ..RecipientFacts::default()
    };
    let paranoid = [("MAPPING_PARANOIA", "!"), ("ACCESS_ORCPT", "1")];
    let connection = "TCP|192.0.2.1|25|203.0.113.9|40312|SMTP/mx!x.example|MAIL|tcp_auth|a!b@x.example|";
    assert_eq!(
        probe(&MailAccess { session, recipient }, &paranoid),
        format!("{connection}l|c!  d@sesta.example|rfc822;c!d@sesta.example")
    );
    let from = recipient.from;
    assert_eq!(
        probe(&FromAccess { session, from }, &paranoid),
        format!("{connection}e!ve@sesta.example")
    );
    assert!(probe(&FromAccess { session, from }, &[]).ends_with("|a|b@x.example|e|ve@sesta.example"));
}

#[test]
fn probes_of_other_tables() {
    let session = &SessionFacts {
        helo: String::new(),
        tls: Some("TLS-256-X".to_string()),
        auth_user: Some("eve".to_string()),
        ..session()
    };
    let tls = TlsAccess {
        session,
        subject: "CN=mx",
        issuer: "CN=CA|x",
        user: "",
    };
    let connection = "TCP|192.0.2.1|25|203.0.113.9|40312|SMTP/TLS-256-X|";
    assert_eq!(
        probe(&tls, &[("MAPPING_PARANOIA", "33")]),
        format!("{connection}tcp_auth|CN=mx|CN=CA!x|")
    );
    assert_eq!(tls.flags().to_string(), "AT");
    let etrn = EtrnAccess {
        session,
        claimed: "@x.example",
        full_name: "x.example",
    };
    assert_eq!(probe(&etrn, &[]), format!("{connection}@x.example|x.example"));
    let ip = IpAccess {
        channel: "tcp_local",
        current: 1,
        count: 2,
        ip: "192.0.2.5".parse().expect("IP"),
        host: "mx.example",
    };
    assert_eq!(probe(&ip, &[]), "tcp_local|1|2|192.0.2.5|mx.example");
    let tags = ["a".to_string(), "b".to_string()];
    let dequeue = DequeueAccess {
        channel: "tcp_local",
        file: "/q/ZZx.00",
        queue_time: Some(35),
        from: "a@x",
        auth_sender: "b@x",
        priority: -2,
        domain: "y.example",
        tags: &tags,
        retries: 3,
        ..DequeueAccess::default()
    };
    let fields = "tcp_local|/q/ZZx.00|35|a@x||b@x|-2|y.example";
    assert_eq!(probe(&dequeue, &[]), fields);
    let optional = [("INCLUDE_CONVERSIONTAG", "4096"), ("INCLUDE_RETRIES", "2")];
    assert_eq!(probe(&dequeue, &optional), format!("{fields}|a,b|3"));
    let looking = DequeueAccess {
        read_only: true,
        ..dequeue
    };
    assert_eq!(
        (dequeue.flags().to_string(), looking.flags().to_string()),
        (String::new(), "R".into())
    );
    let auth = AuthAccess {
        channel: "tcp_local",
        file: "f",
        username: "eve@sesta.example",
        domain: "y.example",
        tags: &tags,
        ..AuthAccess::default()
    };
    assert_eq!(probe(&auth, &[]), "tcp_local|f|-1|||eve@sesta.example*|y.example");
    assert!(probe(&auth, &[("INCLUDE_CONVERSIONTAG", "2048")]).ends_with("*|y.example|a,b"));
    let rewrite = AuthRewrite {
        channel: Some("tcp_auth"),
        mail_from: "a@x",
        from: "b@x",
        auth_sender: "c@x",
        extra: &tags,
        ..AuthRewrite::default()
    };
    assert_eq!(probe(&rewrite, &[]), "tcp_auth|a@x||b@x|c@x|a|b");
    assert_eq!(probe(&InternalIp(ip.ip), &[]), "192.0.2.5");
}

#[test]
fn optional_fields_follow_their_own_bit() {
    let session = &session();
    let tags = ["vip".to_string()];
    let recipient = &RecipientFacts {
        to: "to",
        orcpt: Some("rfc822;o@x"),
        rcpt_count: 3,
        total_recipients: 2,
        tags: &tags,
        ..RecipientFacts::default()
    };
    let tail = |point: Point, option: &str, bits: u32| {
        let options = [(option, &*bits.to_string())];
        let text = match point {
            Point::OrigSendAccess => probe(&OrigSendAccess { session, recipient }, &options),
            Point::SendAccess => probe(&SendAccess { session, recipient }, &options),
            Point::OrigMailAccess => probe(&OrigMailAccess { session, recipient }, &options),
            _ => probe(&MailAccess { session, recipient }, &options),
        };
        text.rsplit_once("|to").map(|(_, tail)| tail.to_string())
    };
    let points = [
        Point::OrigSendAccess,
        Point::SendAccess,
        Point::OrigMailAccess,
        Point::MailAccess,
    ];
    for (option, first, field) in [
        ("ACCESS_ORCPT", 2, "|rfc822;o@x"),
        ("ACCESS_COUNTS", 2, "|3/2/"),
        ("INCLUDE_CONVERSIONTAG", 8, "|vip"),
    ] {
        for (n, point) in points.into_iter().enumerate() {
            let own = first << n;
            assert_eq!(
                tail(point, option, own).as_deref(),
                Some(field),
                "{option} {own} {point:?}"
            );
            let others = (first * 15) & !own;
            assert_eq!(
                tail(point, option, others).as_deref(),
                Some(""),
                "{option} {others} {point:?}"
            );
        }
    }
    assert_eq!(
        tail(Point::MailAccess, "ACCESS_COUNTS", 1).as_deref(),
        Some("|3/2/")
    );
    assert_eq!(
        tail(Point::MailAccess, "INCLUDE_CONVERSIONTAG", 7).as_deref(),
        Some("")
    );
}

#[test]
fn input_flags() {
    let mut session = session();
    session.esmtp = true;
    session.lmtp = true;
    let notify = Notify {
        given: true,
        success: true,
        failure: true,
        delay: true,
    };
    let recipient = &RecipientFacts {
        notify,
        ..RecipientFacts::default()
    };
    fn flags(session: &SessionFacts, recipient: &RecipientFacts<'_>) -> String {
        SendAccess { session, recipient }.flags().to_string()
    }
    assert_eq!(flags(&session, recipient), "DEFLS");
    assert_eq!(flags(&session, &RecipientFacts::default()), "EL");
    session.tls = Some("TLS-256-X".to_string());
    session.auth_user = Some("eve".to_string());
    assert_eq!(flags(&session, recipient), "ADEFLST");
    let session = &session;
    assert_eq!(FromAccess { session, from: "" }.flags().to_string(), "AT");
    for (by, flag) in [(PortProbe::Dispatcher, "A"), (PortProbe::Server, "S")] {
        assert_eq!(PortAccess { session, by }.flags().to_string(), flag);
    }
}

#[test]
fn addresses_in_probes() {
    let session = &SessionFacts {
        helo: "h".to_string(),
        ..session()
    };
    let local = &SessionFacts::default();
    let recipient = &RecipientFacts {
        from: "from@x",
        to: "to@x",
        tags: &[],
        ..RecipientFacts::default()
    };
    let options = [("ACCESS_COUNTS", "1")];
    for session in [session, local] {
        let mail = probe(&MailAccess { session, recipient }, &options);
        assert_eq!(Point::MailAccess.address_in(&mail), "to@x", "{mail}");
        let send = probe(&SendAccess { session, recipient }, &options);
        assert_eq!(Point::SendAccess.address_in(&send), "to@x", "{send}");
        let from = probe(
            &FromAccess {
                session,
                from: "from@x",
            },
            &options,
        );
        assert_eq!(Point::FromAccess.address_in(&from), "from@x", "{from}");
    }
    assert_eq!(Point::MailAccess.address_in("too|short"), "");
}
