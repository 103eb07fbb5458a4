use tenantry::{Entity, Id, Result, TenantSession};

#[derive(Entity)]
struct Task {
    title: String,
    project: Id<Project>,
}

#[derive(Entity)]
struct Project {
    name: String,
}

fn replace(session: &TenantSession, task: Id<Task>, project: &Project) -> Result<()> {
    session.update(task, project)?;
    Ok(())
}

fn tasks_of(session: &TenantSession, task: Id<Task>) -> Result<u64> {
    session.query::<Task>().filter(Task::PROJECT.eq(task)).count()
}

fn main() {}
