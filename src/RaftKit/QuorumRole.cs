namespace RaftKit;

/// <summary>The part that a process takes in the quorum.</summary>
public enum QuorumRole
{
    /// <summary>
    /// One of those who elect a leader and whose disks make a write durable. It is named in <see cref="RaftKitOptions.Members"/> (or was
    /// added by <see cref="RaftKit.Node.Members.IQuorumMembership"/>) and has a number from 1 to 255.
    /// </summary>
    Member,

    /// <summary>
    /// Holds the whole state, serves reads, watches and sessions of its own, and counts for nothing: it never votes, no write waits for it,
    /// and no membership names it, so that observers come and go as they like. It is fed by any member, rather by one that follows than by
    /// the one that leads, and goes on with another when that one is gone. It needs <see cref="RaftKitOptions.Members"/> to know whom to
    /// ask, a number from 256 to 1255 that no other observer has, and a data directory; it dials, and listens nowhere. Where that directory
    /// is emptied it starts anew, without harm.
    /// </summary>
    Observer,
}
