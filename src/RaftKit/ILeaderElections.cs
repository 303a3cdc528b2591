using RaftKit.Recipes;

namespace RaftKit;

/// <summary>
/// Makes elections over the host's own session, which is replaced when it expired. From dependency injection; any thread may use it.
/// </summary>
public interface ILeaderElections
{
    /// <summary>
    /// The election at a path. Everybody who asks for the same path in this process gets the same object; each wait for leadership still
    /// contends for itself.
    /// </summary>
    /// <param name="path">The parent of the entries, such as <c>/elections/scheduler</c>; created when it is missing.</param>
    /// <param name="data">
    /// What others learn of this process when it leads. None: whatever was given by whoever asked for the path first.
    /// </param>
    /// <exception cref="ArgumentException">
    /// The election was made with other data: it has one name to give, for everybody in this process.
    /// </exception>
    LeaderElection For(string path, ReadOnlyMemory<byte> data = default);
}
