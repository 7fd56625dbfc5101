require "vacation";
vacation :subject "Away" "Back on Monday.";
