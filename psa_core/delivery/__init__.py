"""What users take away: the command `psa`, and masks in the formats of other tools."""
