//! What each agent is given, and that its files are what they were afterwards.
