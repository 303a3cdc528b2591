using RaftKit.Node.Log;
using RaftKit.Node.Members;

namespace RaftKit;

/// <summary>
/// The last resort when a majority of the members is lost for good. Nothing here may be undone: <b>whatever only the lost members held is
/// gone</b>, though it may have been acknowledged. <para>Stop every survivor. <see cref="Inspect"/> each directory; choose the one with the
/// highest <see cref="SurvivorReport.LastTerm"/>, and among those the highest <see cref="SurvivorReport.LastIndex"/>. <see
/// cref="ForceNewQuorum"/> there, empty the directories of all others, and start everybody: they join the one that was chosen, learn, and
/// vote again.</para>
/// </summary>
public static class QuorumRecovery
{
    /// <summary>
    /// What the directory of a stopped member holds. As a start of it would, this cuts what a crash left torn behind the last whole write.
    /// </summary>
    /// <param name="dataDirectory">Its <see cref="RaftKitOptions.DataDirectory"/>.</param>
    /// <exception cref="DirectoryInUseException">The member runs. Stop it first.</exception>
    /// <exception cref="DirectoryMismatchException">There is no member's data, or an observer's, which makes no quorum.</exception>
    /// <exception cref="DirectoryRolledBackException">
    /// It is an old copy, as others have found: it may have forgotten votes and entries, and must not be chosen.
    /// </exception>
    /// <exception cref="LogCorruptException">It does not read back.</exception>
    public static SurvivorReport Inspect(string dataDirectory)
    {
        using var directory = LostQuorum.Open(Existing(dataDirectory));
        return Report(directory);
    }

    /// <summary>
    /// Makes the member of this directory the whole quorum from its next start on, with everything that its log holds, and opens a new
    /// recovery epoch: every zxid from then on is higher than any before (it is its upper 16 bits), clients see it in each answer and in
    /// <see cref="RaftKit.Node.Loop.NodeStatus.RecoveryEpoch"/>. The data of all other members is refused from then on, and never merged:
    /// who comes with it is told so and stops, also if it belongs to a majority that was not lost at all. Durable when this returns.
    /// </summary>
    /// <param name="dataDirectory">The chosen survivor's <see cref="RaftKitOptions.DataDirectory"/>; it must be stopped.</param>
    /// <param name="clusterId">The cluster that this is meant for, as <see cref="Inspect"/> tells it.</param>
    /// <param name="members">
    /// Every member of the quorum that is given up, the survivor included, as <see cref="Inspect"/> tells them.
    /// </param>
    /// <returns>What the directory holds now.</returns>
    /// <exception cref="ArgumentException">The cluster or its members are others. Nothing was changed.</exception>
    /// <exception cref="DirectoryInUseException">The member runs. Stop it first.</exception>
    /// <exception cref="DirectoryMismatchException">There is no member's data, or an observer's, which makes no quorum.</exception>
    /// <exception cref="DirectoryRolledBackException">It is an old copy, as others have found.</exception>
    /// <exception cref="LogCorruptException">It does not read back.</exception>
    /// <exception cref="LogFailedException">The disk refused. Whether it was forced, <see cref="Inspect"/> tells.</exception>
    public static SurvivorReport ForceNewQuorum(string dataDirectory, Guid clusterId, IReadOnlyCollection<int> members)
    {
        ArgumentNullException.ThrowIfNull(members);
        var existing = Existing(dataDirectory);
        using (var directory = LostQuorum.Open(existing))
        {
            if (directory.ClusterId != clusterId || clusterId == Guid.Empty)
                throw new ArgumentException(
                    $"{existing.Location} belongs to cluster {directory.ClusterId}, not to {clusterId}. Nothing was changed.",
                    nameof(clusterId));
            if (!members.Order().SequenceEqual(directory.Members))
            {
                throw new ArgumentException(
                    $"The quorum of {existing.Location} has the members {string.Join(", ", directory.Members)}, not {string.Join(", ", members.Order())}. Nothing was changed.", nameof(members));
            }
            directory.Force();
        }
        return Inspect(dataDirectory);
    }

    // Opening makes a directory that is missing: a mistyped name must not.
    private static DiskLogDirectory Existing(string dataDirectory)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(dataDirectory);
        return Directory.Exists(dataDirectory)
            ? new DiskLogDirectory(dataDirectory)
            : throw new DirectoryMismatchException($"There is no directory {Path.GetFullPath(dataDirectory)}.");
    }

    private static SurvivorReport Report(LostQuorum directory) => new(
        directory.Identity.Member.Value, directory.ClusterId, directory.Members, directory.LastTerm.Value, directory.LastIndex.Value,
        directory.Epoch.Epoch);
}

/// <summary>What a stopped member's directory holds.</summary>
/// <param name="Member">Whose it is.</param>
/// <param name="ClusterId">The cluster; empty if no entry was ever committed.</param>
/// <param name="Members">Everybody that its newest membership names, voters and learners, in order.</param>
/// <param name="LastTerm">The term of its last entry.</param>
/// <param name="LastIndex">The index of its last entry, committed or not.</param>
/// <param name="RecoveryEpoch">How often a new quorum was forced.</param>
public sealed record SurvivorReport(
    int Member, Guid ClusterId, IReadOnlyList<int> Members, long LastTerm, long LastIndex, int RecoveryEpoch)
{
    /// <summary>All of it, for people; the members as they are to be passed to <see cref="QuorumRecovery.ForceNewQuorum"/>.</summary>
    public override string ToString() =>
        $"member {Member} of cluster {ClusterId}, members [{string.Join(", ", Members)}], last entry {LastIndex} of term {LastTerm}, recovery epoch {RecoveryEpoch}";
}
