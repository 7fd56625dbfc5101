require ["editheader", "imap4flags"];
addheader "X-Seen-By" "filter";
addflag "\\Flagged";
keep;
