using RaftKit.Node.Loop;
using RaftKit.Node.Reads;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes;

/// <summary>
/// The door to reads of this member's copy: at once from any thread, or on the loop once the copy is what a read asks for.
/// </summary>
internal sealed class ZnodeView(TreeView tree, Func<INodeInbox> inbox, IClientScheduler scheduler) : IZnodeView
{
    public long Zxid => tree.Zxid;

    public int Count => tree.Count;

    public (ulong Digest, long Zxid) Digest => tree.Digest;

    public Znode? Get(string path) => tree.Get(path);

    public ZnodeChildren? GetChildren(string path) => tree.GetChildren(path);

    public Task<ReadResult<TResult>> ReadAsync<TResult>(
        Func<IZnodeView, TResult> query, ReadConsistency consistency, CancellationToken cancellationToken = default) =>
        StateRead<IZnodeView, TResult, ReadResult<TResult>>.Post(
            inbox(), this, query, consistency, static result => result, scheduler.Completion, cancellationToken);
}
