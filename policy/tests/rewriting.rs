//! Rewrite templates at work: what is asked, what is put in, and what a rule that fails leaves.

use policy::rewrite::{Request, Rewritten};
use policy::site::{LoadError, Site, Texts, load};
use policy::{Answer, Ask, Effect, Facts, Limits, Machine, Outcome, Read, RunError, Step, Trace};

/// A site of these rules, with the channels `l` (host `here`), `tcp_local` (`out`) and `tcp_fail` (`fail`).
fn site(rules: &str, mappings: &str, options: &str) -> Result<Site, LoadError> {
    let text = |name: &str, text: String| Some((name.to_string(), text));
    let texts = Texts {
        imta: text(
            "imta.cnf",
            format!("{rules}\n\nl\nhere\n\ntcp_local smtp\nout\n\ntcp_fail smtp\nfail\n"),
        ),
        mappings: text("mappings", mappings.to_string()),
        options: text("option.dat", options.to_string()),
        ..Texts::default()
    };
    load(&texts, &|_: &str| Err("no includes".to_string()))
}

fn loaded(rules: &str, mappings: &str, options: &str) -> Site {
    site(rules, mappings, options).unwrap_or_else(|e| panic!("{rules}: {:?}", e.diagnostics))
}

/// What came of an address: the result, all that was asked, and the trace.
struct Ran {
    result: Result<Rewritten, RunError>,
    asked: Vec<String>,
    trace: String,
}

impl Ran {
    fn address(&self) -> &str {
        match &self.result {
            Ok(rewritten) => &rewritten.address,
            Err(error) => panic!("{error}\n{}", self.trace),
        }
    }
}

/// Rewrites an envelope To address; what is asked is printed in short and answered by `answer`.
fn run(site: &Site, address: &str, answer: &dyn Fn(&Ask) -> Answer) -> Ran {
    let mut machine = Machine::new(site.program.clone(), Limits::default());
    machine.trace = Trace::on(false);
    machine.start_rewrite(Request {
        address: address.into(),
        envelope: true,
        forward: true,
        source_channel: "l".into(),
        ..Request::default()
    });
    let mut asked = Vec::new();
    loop {
        match machine.step(&Facts { now: 0, seed: 7 }) {
            Step::Done(done) => {
                let trace = policy::trace::render(machine.trace.events(), &site.sources);
                let result = done.map(|outcome| match outcome {
                    Outcome::Address(rewritten) => rewritten,
                    other => panic!("{other:?}"),
                });
                return Ran { result, asked, trace };
            }
            Step::Ask(asks) => {
                asked.extend(asks.iter().map(|ask| match ask {
                    Ask::Read(Read::General { key }) => format!("general {key}"),
                    Ask::Read(Read::Url { url }) => format!("url {url}"),
                    Ask::Read(Read::DomainIsLocal { domain }) => format!("local {domain}"),
                    Ask::Read(Read::Routine(r)) | Ask::Effect(Effect::Routine(r)) => {
                        format!("routine {} {}", r.argument, r.quoted)
                    }
                    other => panic!("{other:?}"),
                }));
                machine.answer(asks.iter().map(answer).collect()).unwrap();
            }
        }
    }
}

fn codes(rules: &str) -> Vec<&'static str> {
    let diagnostics = match site(rules, "", "") {
        Ok(site) => site.diagnostics,
        Err(error) => error.diagnostics,
    };
    diagnostics.iter().map(|d| d.code).collect()
}

#[test]
fn arguments_are_written_as_the_rest_of_the_template_is() {
    // rule; address; what is asked
    let cases = [
        (
            r".  $(x$=$U$_.$U)$U@out",
            r"a*b@Host.example",
            r"general xa\2ab.a*b",
        ),
        (
            r".  $]ldap:///o=x?cn?sub?(mail=$=$U$_)[$U@out",
            "\"a*)(b\"@h.example",
            "url ldap:///o=x?cn?sub?(mail=\"a\\2a\\29\\28b\")",
        ),
        (r".  $\$($H)$U@out", "a@Host.Example", "general host.example"),
        (r".  $($\$H$_.$H)$U@out", "a@Host", "general host.Host"),
        (r".  $($0A$2A)$U@out", "abc@h", "general ac"),
        (r".  $($0X)$U@out", "abc@h", "general here"),
        (r".  $($W)$U@out", "abc@h", "general 3T8XRQKICUMI"),
        (r".  $]u?$A?$S?$,[$U@out", "a+b@h", "url u?a+b@h?b?+"),
        (r".  $V$\$H$_$U@out", "a@HOST", "local hosta"),
        (r".  $[im,ro,$U$$]$U@out", "a$b@h", "routine a$b$ a$$b$"),
    ];
    for (rule, address, expected) in cases {
        let ran = run(&loaded(rule, "", ""), address, &|_| Answer::NotFound);
        assert_eq!(ran.asked, [expected], "{rule}\n{}", ran.trace);
    }
}

#[test]
fn a_component_that_is_not_there_fails_the_rule_in_an_argument_too() {
    for missing in ["$&5", "$!5", "$*5", "$#5", "$9A", "$9X"] {
        for lookup in ["$(k%)", "${T,%}", "$]u%[", "$[im,ro,%]", "$V%"] {
            let rule = format!("a.b  {}$U@fail", lookup.replace('%', missing));
            let site = loaded(&format!("{rule}\n.  $U@out"), "T\n\n  *  $Y\n", "");
            let ran = run(&site, "u@a.b", &|_| Answer::Found("x".into()));
            assert_eq!(ran.asked, [""; 0], "{rule}\n{}", ran.trace);
            assert_eq!(ran.address(), "u@out", "{rule}\n{}", ran.trace);
        }
    }
}

#[test]
fn what_cannot_work_in_an_argument_does_not_load() {
    for inner in [
        "$(k)",
        "${T,k}",
        "$]u[",
        "$[im,ro,a]",
        "$E",
        "$Mtcp",
        "$A",
        "$?no",
        "$.x",
        "$,",
        "$Tx",
        "$1~",
    ] {
        let codes = codes(&format!(".  $(x{inner})$U@out"));
        assert_eq!(codes, ["R014"], "{inner}");
    }
    assert_eq!(codes(".  $U@out$V$(k)"), ["R014"]);
    assert_eq!(codes(".  $(a@b%c$$$U$1U$D$H$L$0A$0X$\\$^$_$=$W)$U@out"), [""; 0]);
}

/// A thread's stack is 2 MiB in tests: one turn for each `@` and not one call.
#[test]
fn separators_do_not_use_up_the_stack() {
    let many = "@".repeat(100_000);
    let in_file = loaded(&format!(".  $U{many}out"), "", "");
    let ran = run(&in_file, "u@h", &|_| Answer::NotFound);
    assert!(ran.result.is_ok());
    let in_database = loaded(".  $(k)$U@out", "", "");
    let ran = run(&in_database, "u@h", &|_| Answer::Found(many.clone()));
    assert!(ran.result.is_ok());
    let asked_first = loaded(&format!(".  $V$H{many}out"), "", "");
    let ran = run(&asked_first, "u@h", &|_| Answer::Found(String::new()));
    assert!(ran.result.is_ok());
}

#[test]
fn what_is_wrong_with_domain_failure_is_said_at_its_place() {
    for (value, code, word) in [
        ("reprocess-daemon$(k", "R008", "$(k"),
        ("out$?temp$k", "", ""),
        ("out$k", "R007", "$k"),
        ("out\\\n$k", "R007", ""),
    ] {
        let options = format!("BLOCK_SIZE=1024\nDOMAIN_FAILURE={value}\n");
        match site(".  $U@out", "", &options) {
            Ok(_) => assert_eq!(code, "", "{value}"),
            Err(error) => {
                let said = &error.diagnostics[0];
                assert_eq!(said.code, code, "{value}");
                assert_eq!(error.sources.place(said.span()).line, 2, "{value}");
                let text = error.sources.text(said.span());
                assert!(text.starts_with(word), "{value}: {text}");
            }
        }
    }
}

#[test]
fn what_is_wrong_with_a_result_is_traced() {
    let site = loaded(".  $(k)@out", "", "");
    let ran = run(&site, "u@h", &|_| Answer::Found("$U$k".into()));
    assert_eq!(ran.address(), "u@out");
    assert!(
        ran.trace.contains("in the result: `$k` has no meaning"),
        "{}",
        ran.trace
    );
}

#[test]
fn rules_that_never_run_are_said_so() {
    let cases: &[(&str, &[&str])] = &[
        ("a.*  $U@out", &["R015"]),
        ("*.a  $U@out\n*  $U@out\n.a  $U@out", &[]),
        ("a  $U", &["R016"]),
        ("a  $U%$H%out", &["R016"]),
        ("a  $U@b@c@d@out", &["R016"]),
        ("a  @out", &["R016"]),
        ("a  $U@$E", &["R016"]),
        ("a  $U$@out", &["R016"]),
        ("a  $(k)\nb  ${T,k}$U\nc  $?no such host", &["R011"]),
        ("a  $1~$U$1~@out", &[]),
        ("a  $U@out\nA  $U%b", &["R017"]),
        ("a  $U@out\na  $U@fail\na  $U@here", &["R017", "R017"]),
        ("a  $E$U@out\na  $U@out", &[]),
        ("a  $X$U@out\na  $U@out", &[]),
        ("a  $U@out$Mtcp_local\na  $U@out", &[]),
        ("a  $U%$H@out\na  $U@out", &[]),
        (".a  $U%$H@out\n.a  $U@out", &["R017"]),
        (".a  $U%$&0@out\n.a  $U@out", &[]),
        (".a  $U%$(k)@out\n.a  $U@out", &[]),
        (".  $?no\n.  $U@out", &["R017"]),
        ("t|a  $U@out", &["R018"]),
        ("t|a  $U@out\nb  $U@out$Tt|", &[]),
        ("T|a.*  $U@out\nb  $U@out$Tt|", &["R015"]),
        ("ta  $U@out\nb  $U@out$Tt", &[]),
        ("t|a  $U@out\nb  $(k)@out", &[]),
        ("a  $U@out$Ntcp_locel\na  $U@out$Mnone", &["R023", "R023"]),
        ("a  $U@out$Qnone\na  $U@out$Ctcp_*$CL\na  $U@out", &["R023"]),
    ];
    for (rules, expected) in cases {
        assert_eq!(codes(rules), *expected, "{rules}");
    }
}

#[test]
fn a_tag_with_capitals_works_for_all_patterns() {
    let rules = "a  $U%b$TTag|\ntag|b  $U%c$T\nA2  $U%x$TTag|\ntag|$%  $U@fail\ntag|$!  $U@fail\n.  $U@out";
    let site = loaded(rules, "", "");
    for (address, expected) in [("u@a", "u@out"), ("u%a2", "u@fail"), ("a2!u", "u@fail")] {
        let ran = run(&site, address, &|_| Answer::NotFound);
        assert_eq!(ran.address(), expected, "{address}\n{}", ran.trace);
    }
}
