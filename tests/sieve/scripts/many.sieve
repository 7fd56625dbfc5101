require ["fileinto", "mailbox"];
fileinto :create "a"; fileinto :create "b"; fileinto :create "c";
