"""What users take away: masks in the formats of other tools."""
