"""What an audit's stages would cost, before they run: no stage, but the command `audit plan`."""
