require ["include", "variables"];
global "greeting";
set "greeting" "hello";
return;
