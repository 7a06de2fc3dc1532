"""Networks of encoders, by their authors' formulas or by timm, without weights."""
