"""THE STANDARD: editions applied to responses, outcomes judged, certification events turned into dates of exposure."""
