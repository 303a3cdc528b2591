using RaftKit.Node.Proposals;

namespace RaftKit.Node.Levels;

/// <summary>
/// Rolls a cluster from one form of what it writes to the next (as KIP-584 does, and KRaft's metadata.version). Every process declares
/// which levels of each feature it supports; a feature is at level 1 until a higher one is finalised, which is a command in the log: it is
/// the same at the same entry on every member, survives crashes and snapshots, and never falls. Once a level is finalised, a process that
/// does not support it takes no part: others refuse its links, a machine that joins is not taken in, and it stops by itself before the
/// first entry at that level (<see cref="FeatureLevelUnsupportedException"/>). <c>raftkit</c> is the library's own feature. Any thread; on
/// any member or observer.
/// </summary>
public interface IFeatureLevels
{
    /// <summary>
    /// What this process supports, by feature; its own <c>raftkit</c> included. Of a feature that is not in here it supports level 1.
    /// </summary>
    IReadOnlyDictionary<string, FeatureRange> Supported { get; }

    /// <summary>
    /// The level that is finalised, as of what this member has applied; 1 if none was. It may be behind other members. A state machine asks
    /// the context of its command instead (<see cref="Loop.CommandContext.LevelOf"/>): that is the level as of that command, on every
    /// member.
    /// </summary>
    /// <param name="feature">Its name.</param>
    int Finalized(string feature);

    /// <summary>
    /// Finalises a level, for good. Completes when it is applied on this member; what is finalised already changes nothing. Refused unless
    /// every member, learners included, is connected with the leader and supports the level; observers are not asked: one that does not
    /// support it stops.
    /// </summary>
    /// <param name="feature">Its name.</param>
    /// <param name="level">The level, from 1.</param>
    /// <param name="cancellationToken">Ends the wait, not the proposal.</param>
    /// <exception cref="ArgumentException">There can be no such feature or level.</exception>
    /// <exception cref="FeatureLevelRefusedException">
    /// Somebody is not ready, this process included, or a higher level is finalised. Nothing was changed.
    /// </exception>
    /// <exception cref="NotAppliedException">It was surely not asked for.</exception>
    /// <exception cref="OutcomeUnknownException">
    /// This node ended before it could tell. Ask again, or look at <see cref="Finalized"/>.
    /// </exception>
    Task FinalizeAsync(string feature, int level, CancellationToken cancellationToken = default);

    /// <summary>Completes when at least this level is finalised, as applied on this member; at once if it is.</summary>
    /// <param name="feature">Its name.</param>
    /// <param name="level">The level.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="NotAppliedException">This node has stopped: nothing more is applied here.</exception>
    Task WhenFinalizedAsync(string feature, int level, CancellationToken cancellationToken = default);
}
