require ["fileinto", "mailbox"];
if header :contains "list-id" "<rust.example.org>" {
    fileinto :create "Lists.Rust";
} elsif header :contains "subject" "invoice" {
    fileinto "Bills";
}
