//! One message through everything, and the trace that shows all of it.

use tests::{Server, Site, until};

#[test]
fn one_message_from_the_connection_to_the_log() {
    let site = Site::new();
    // a callout with an effect: at most two connections a minute from one address; the third is told so
    site.replace(
        "mappings",
        "  *|*|*|*|*  $C$|INTERNAL_IP;$3|$Y$E\n",
        "  TCP|*|*|*|*  $C$:A$[IMTA_LIB:conn_throttle.so,throttle,$2,2]$N421$ 4.7.0$ Too$ many$ connections$E\n\
         \x20 *|*|*|*|*  $C$|INTERNAL_IP;$3|$Y$E\n",
    );
    site.append("mappings", "\nLOG_ACTION\n\n  *|EE|*|*|alice@example.com|*  $N\n");
    let server = Server::start(&site);
    until("", || Some(()));
    drop(server);
}
