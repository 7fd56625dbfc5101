//! Command lines taken apart: addresses and parameters, good and bad.

use mta::smtp::command::{Command, CommandError};

#[test]
fn paths_are_read_as_written() {
    let good = [
        ("<a@x>", "a@x"),
        ("  <a@x>", "a@x"),
        ("<>", ""),
        ("<postmaster>", "postmaster"),
        ("<@a,@b:u@c>", "@a,@b:u@c"),
        (r#"<"a b>c@d"@x>"#, r#""a b>c@d"@x"#),
        (r#"<"a\">b"@x>"#, r#""a\">b"@x"#),
        ("<u@[192.0.2.1]>", "u@[192.0.2.1]"),
        ("<u@[IPv6:2001:db8::1]>", "u@[IPv6:2001:db8::1]"),
        ("<a%b!c|d/e@x>", "a%b!c|d/e@x"),
    ];
    for (path, wanted) in good {
        match Command::parse(&format!("mail from:{path}")) {
            Ok(Command::Mail(mail)) => assert_eq!(mail.from, wanted, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let long = format!("<{}@x>", "a".repeat(253));
    let bad = [
        ("a@x", "put the address in angle brackets"),
        ("", "put the address in angle brackets"),
        ("<a@x", "the closing > is missing"),
        (r#"<"a@x>"#, "the closing quote is missing"),
        ("<>", "an empty address cannot be a recipient"),
        (&long, "longer than 256 octets"),
        ("<a\u{1}@x>", "control character"),
        ("<a\u{85}@x>", "control character"),
        ("<a b@x>", "a blank outside of quotes"),
        ("<a<b@x>", "a second <"),
        ("<@x>", "the source route lacks"),
        ("<@x:>", "the source route lacks"),
        ("<@x:@y>", "the part before the @ is missing"),
        ("<a@>", "the domain after the @ is missing"),
        ("<a@x>b", "a blank must follow the closing >"),
    ];
    for (path, wanted) in bad {
        let error = Command::parse(&format!("RCPT TO:{path}")).expect_err(path);
        assert!(error.to_string().contains(wanted), "{path}: {error}");
        assert_eq!(error.codes(), (501, (5, 1, 3)), "{path}");
    }
    assert!(
        Command::parse(&format!("RCPT TO:<{}@x>", "a".repeat(252))).is_ok(),
        "256 octets are allowed"
    );
}

#[test]
fn parameters_are_typed() {
    let good = [
        (
            "",
            r#""", size: None, body: None, smtputf8: false, ret: None, envid: None, auth: None, other: []"#,
        ),
        (" SIZE=00012", "size: Some(12)"),
        (" SIZE=99999999999999999999", "size: Some(18446744073709551615)"),
        (" body=7bit", "body: Some(SevenBit)"),
        (
            "  BODY=8BITMIME\tSMTPUTF8 ",
            "body: Some(EightBitMime), smtputf8: true",
        ),
        (
            " RET=full ENVID=a+2Bb+3dc=d",
            r#"ret: Some(Full), envid: Some("a+b=c=d")"#,
        ),
        (" AUTH=<>", r#"auth: Some("")"#),
        (" AUTH=e+3Dmc2@example.com", r#"auth: Some("e=mc2@example.com")"#),
        (
            " X-Y=1 Z",
            r#"[Parameter { keyword: "X-Y", value: Some("1") }, Parameter { keyword: "Z", value: None }]"#,
        ),
    ];
    for (words, wanted) in good {
        let command = format!("{:?}", Command::parse(&format!("MAIL FROM:<>{words}")));
        assert!(command.contains(wanted), "{words}: {command}");
    }
    let rcpt = [
        (
            " NOTIFY=never",
            "Notify { given: true, success: false, failure: false, delay: false }",
        ),
        (
            " NOTIFY=FAILURE,delay",
            "Notify { given: true, success: false, failure: true, delay: true }",
        ),
        (" ORCPT=rfc822;a+40b", r#"orcpt: Some("rfc822;a@b")"#),
        (r" ORCPT=utf-8;a+\x{F6}@b", r#"orcpt: Some("utf-8;a+\\x{F6}@b")"#),
    ];
    for (words, wanted) in rcpt {
        let command = format!("{:?}", Command::parse(&format!("RCPT TO:<a>{words}")));
        assert!(command.contains(wanted), "{words}: {command}");
    }
    let long_envid = format!("MAIL FROM:<> ENVID={}", "a".repeat(101));
    let bad = [
        ("MAIL FROM:<> SIZE", "SIZE"),
        ("MAIL FROM:<> SIZE=", "SIZE="),
        ("MAIL FROM:<> SIZE=1x", "SIZE=1x"),
        ("MAIL FROM:<> SIZE=1 size=2", "size=2"),
        ("MAIL FROM:<> BODY=9BIT", "BODY=9BIT"),
        ("MAIL FROM:<> SMTPUTF8=1", "SMTPUTF8=1"),
        ("MAIL FROM:<> SMTPUTF8 SMTPUTF8", "SMTPUTF8"),
        ("MAIL FROM:<> RET=SOME", "RET=SOME"),
        ("MAIL FROM:<> ENVID=a+0Ab", "ENVID=a+0Ab"),
        ("MAIL FROM:<> ENVID=a+2", "ENVID=a+2"),
        ("MAIL FROM:<> ENVID=a+zz", "ENVID=a+zz"),
        (&long_envid, "ENVID=aaa"),
        ("MAIL FROM:<> AUTH=a+00", "AUTH=a+00"),
        ("MAIL FROM:<> A=1 a=2", "a=2"),
        ("MAIL FROM:<> -A=1", "-A=1"),
        ("MAIL FROM:<> A_B", "A_B"),
        ("MAIL FROM:<> A=\u{1}", "A="),
        ("RCPT TO:<a> NOTIFY=NEVER,DELAY", "NOTIFY=NEVER,DELAY"),
        ("RCPT TO:<a> NOTIFY=DELAY NOTIFY=DELAY", "NOTIFY=DELAY"),
        ("RCPT TO:<a> ORCPT=a@b", "ORCPT=a@b"),
        ("RCPT TO:<a> ORCPT=rfc822;a+0Db", "ORCPT=rfc822;a+0Db"),
    ];
    for (line, word) in bad {
        let error = Command::parse(line).expect_err(line);
        assert!(
            matches!(
                error,
                CommandError::Parameter { .. } | CommandError::Duplicate { .. }
            ),
            "{line}: {error:?}"
        );
        assert!(error.to_string().contains(word), "{line}: {error}");
        assert_eq!(error.codes(), (501, (5, 5, 4)), "{line}");
    }
}
