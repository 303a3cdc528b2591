namespace RaftKit.Recipes;

/// <summary>Who leads, as this member's copy of the tree tells it.</summary>
/// <param name="FencingToken">Its token.</param>
/// <param name="Data">What it said of itself: <see cref="LeaderElectionOptions.Data"/>.</param>
/// <param name="Path">The znode by which it leads.</param>
/// <param name="Session">The session that owns it.</param>
public sealed record ElectedLeader(FencingToken FencingToken, ReadOnlyMemory<byte> Data, string Path, long Session);
