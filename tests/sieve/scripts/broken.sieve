require ["fileinto"];
if header :contain "subject" "x" { fileinto "A"; }
filinto "B";
keep
